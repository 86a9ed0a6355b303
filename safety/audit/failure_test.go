package audit

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/safety"
)

// disk is a file that can fail. A failing write leaves half of a line.
type disk struct {
	bytes.Buffer
	full, noSync, noTruncate bool
	synced                   int
}

var errFull = errors.New("no space left on device")

func (d *disk) Write(p []byte) (int, error) {
	if d.full {
		n, _ := d.Buffer.Write(p[:len(p)/2])
		return n, errFull
	}
	return d.Buffer.Write(p)
}

func (d *disk) Sync() error {
	if d.noSync {
		return errFull
	}
	d.synced = d.Len()
	return nil
}

func (d *disk) Truncate(size int64) error {
	if d.noTruncate {
		return errFull
	}
	d.Buffer.Truncate(int(size))
	return nil
}

func (d *disk) Close() error { return nil }

// on makes a trail on a disk that can fail.
func on(t *testing.T, d *disk, options Options) *Trail {
	t.Helper()
	p, err := newPseudonyms([]byte("thirty-two bytes for the tests!!"))
	require.NoError(t, err)
	return &Trail{pseudonyms: p, options: options, path: filepath.Join("var", "audit"), file: d}
}

func of(id string, s safety.Severity) safety.Event {
	return safety.Event{ID: id, Kind: safety.KindVerdict, Severity: s, Subject: "ada"}
}

func verified(t *testing.T, d *disk) (records int) {
	t.Helper()
	report, err := Verify(bytes.NewReader(d.Bytes()))
	require.NoError(t, err)
	return report.Records
}

func TestGraveEventsAreOnTheDiskAtOnceAndOthersWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(disk)
		trail := on(t, d, Options{})
		unsynced := func() int {
			trail.mu.Lock()
			defer trail.mu.Unlock()
			return d.Len() - d.synced
		}
		done := make(chan error)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { done <- trail.Run(ctx) }()

		require.NoError(t, trail.Record(ctx, of("1", safety.Moderate)))
		assert.Positive(t, unsynced())
		require.NoError(t, trail.Record(ctx, of("2", safety.High)))
		assert.Zero(t, unsynced())
		require.NoError(t, trail.Record(ctx, safety.Event{ID: "2b", Level: safety.High}))
		assert.Zero(t, unsynced(), "nor does the danger of a whole conversation wait")
		require.NoError(t, trail.Record(ctx, of("3", safety.Low)))
		assert.Positive(t, unsynced())
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		assert.Zero(t, unsynced())
		require.NoError(t, trail.Record(ctx, of("4", safety.Low)))
		cancel()
		require.NoError(t, <-done)
		assert.Zero(t, unsynced(), "and when it ends")
	})
}

func TestWhileTheDiskFailsGraveEventsWaitAndTheRestIsCounted(t *testing.T) {
	d, overflow := &disk{full: true}, new(bytes.Buffer)
	trail := on(t, d, Options{Reserve: 2, Overflow: overflow})
	require.ErrorIs(t, trail.Record(t.Context(), of("low", safety.Low)), ErrLost)
	require.ErrorIs(t, trail.Record(t.Context(), of("h1", safety.High)), ErrHeld)
	require.ErrorIs(t, trail.Record(t.Context(), of("h2", safety.Imminent)), ErrHeld)
	require.ErrorIs(t, trail.Record(t.Context(), of("h3", safety.High)), ErrLost)
	require.ErrorIs(t, trail.Record(t.Context(), of("h3", safety.High)), errFull)
	assert.Equal(t, 2, strings.Count(overflow.String(), "\n"), "one line each")
	assert.Contains(t, overflow.String(), `"id":"h3"`)
	assert.NotContains(t, overflow.String(), "ada")
	assert.ErrorContains(t, trail.Healthy(t.Context()), "2 events wait in memory, 3 were lost")
	assert.Equal(t, 2, trail.Stats().Held)
	assert.Zero(t, d.Len(), "nothing half-written stays")

	d.full = false
	require.NoError(t, trail.Flush())
	assert.NoError(t, trail.Healthy(t.Context()))
	assert.Equal(t, 3, verified(t, d))
	assert.Contains(t, d.String(), `"kind":"gap"`)
	assert.Contains(t, d.String(), `"lost":3`)
	require.NoError(t, trail.Record(t.Context(), of("after", safety.Low)))
	assert.Equal(t, 4, verified(t, d))
	assert.Equal(t, Stats{Written: 4, Lost: 3, Failures: trail.Stats().Failures}, trail.Stats())
}

func TestASyncThatFailsIsToldAndTheEventIsNotWrittenTwice(t *testing.T) {
	d := &disk{noSync: true}
	trail := on(t, d, Options{})
	require.NoError(t, trail.Record(t.Context(), of("1", safety.High)))
	assert.ErrorIs(t, trail.Healthy(t.Context()), errFull)
	d.noSync = false
	require.NoError(t, trail.Flush())
	assert.NoError(t, trail.Healthy(t.Context()))
	assert.Equal(t, 1, verified(t, d))
}

func TestCloseHandsOutWhatStillWaits(t *testing.T) {
	d, overflow := &disk{full: true}, new(bytes.Buffer)
	trail := on(t, d, Options{Overflow: overflow})
	require.ErrorIs(t, trail.Record(t.Context(), of("h1", safety.High)), ErrHeld)
	assert.ErrorIs(t, trail.Close(), errFull)
	assert.Contains(t, overflow.String(), `"id":"h1"`)
}

func TestHalfALineThatCannotBeTakenBackDoesNotSpoilTheNext(t *testing.T) {
	d := new(disk)
	trail := on(t, d, Options{})
	require.NoError(t, trail.Record(t.Context(), of("1", safety.High)))
	d.full, d.noTruncate = true, true
	require.ErrorIs(t, trail.Record(t.Context(), of("2", safety.High)), ErrHeld)
	d.full = false
	require.ErrorIs(t, trail.Record(t.Context(), of("3", safety.High)), ErrHeld, "not behind half a line")
	d.noTruncate = false
	require.NoError(t, trail.Flush())
	assert.Equal(t, 3, verified(t, d))
}
