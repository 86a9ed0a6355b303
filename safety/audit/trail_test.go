package audit_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/theinterneti/tta-gateway/safety"
	"github.com/theinterneti/tta-gateway/safety/audit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var key = []byte("thirty-two bytes for the tests!!")

func event(id string, s safety.Severity) safety.Event {
	return safety.Event{
		ID: id, Time: time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC), Kind: safety.KindVerdict,
		Transport: "http", Route: "/api/v1/gameplay/", Session: "session-of-ada", Subject: "ada@example.org",
		Severity: s, Level: s, Categories: []safety.Category{safety.SelfHarm}, Rules: []string{"r1"}, Actions: []string{"help"},
	}
}

func open(t *testing.T, path string) *audit.Trail {
	t.Helper()
	trail, err := audit.Open(path, audit.Options{Key: key})
	require.NoError(t, err)
	t.Cleanup(func() { _ = trail.Close() })
	return trail
}

func record(t *testing.T, trail *audit.Trail, n int) {
	t.Helper()
	for i := range n {
		require.NoError(t, trail.Record(t.Context(), event(fmt.Sprint("e", i), safety.Severity(i%5))))
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return data
}

func TestATrailIsContinuedAndVerifies(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	for range 3 {
		trail := open(t, path)
		record(t, trail, 5)
		require.NoError(t, trail.Close())
	}
	report, err := audit.Verify(bytes.NewReader(read(t, path)))
	require.NoError(t, err)
	assert.Equal(t, 15, report.Records)
	assert.Equal(t, uint64(1), report.First)
	assert.Equal(t, uint64(15), report.Last)
	assert.Equal(t, strings.Repeat("0", 64), report.Begin)

	trail := open(t, path)
	seq, hash := trail.Last()
	assert.Equal(t, report.Last, seq)
	assert.Equal(t, report.End, hash)
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestTheTrailHoldsPseudonymsAndNoNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	trail := open(t, path)
	record(t, trail, 1)
	require.NoError(t, trail.Close())
	text := string(read(t, path))
	assert.NotContains(t, text, "ada")
	assert.Contains(t, text, trail.Pseudonym("ada@example.org"))
	assert.Contains(t, text, `"key":"`+trail.KeyID()+`"`)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("id\x00ada@example.org"))
	assert.Equal(t, hex.EncodeToString(mac.Sum(nil))[:32], trail.Pseudonym("ada@example.org"))
	assert.Empty(t, trail.Pseudonym(""))

	other, err := audit.Open(filepath.Join(t.TempDir(), "a"), audit.Options{})
	require.NoError(t, err)
	defer other.Close()
	assert.NotEqual(t, trail.Pseudonym("ada@example.org"), other.Pseudonym("ada@example.org"))
	assert.NotEqual(t, trail.KeyID(), other.KeyID())
	_, err = audit.Open(filepath.Join(t.TempDir(), "a"), audit.Options{Key: []byte("short")})
	assert.ErrorContains(t, err, "give 16 or more")
}

func TestVerifyNamesTheFirstRecordThatDoesNotFit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	trail := open(t, path)
	record(t, trail, 6)
	require.NoError(t, trail.Close())
	lines := strings.SplitAfter(strings.TrimSuffix(string(read(t, path)), "\n"), "\n")
	lines[5] += "\n"
	with := func(change func(l []string) []string) string {
		return strings.Join(change(append([]string(nil), lines...)), "")
	}
	path = filepath.Join(t.TempDir(), "other.jsonl")
	trail = open(t, path)
	require.NoError(t, trail.Record(t.Context(), event("else", safety.Low)))
	record(t, trail, 5)
	require.NoError(t, trail.Close())
	others := strings.SplitAfter(string(read(t, path)), "\n")
	tests := []struct {
		desc, text string
		line       int
	}{
		{"changed", with(func(l []string) []string { l[2] = strings.Replace(l[2], `"moderate"`, `"low"`, 1); return l }), 3},
		{"removed", with(func(l []string) []string { return append(l[:3], l[4:]...) }), 4},
		{"the first removed", with(func(l []string) []string { l[1] = strings.Replace(l[1], `"seq":2`, `"seq":1`, 1); return l[1:] }), 1},
		{"moved", with(func(l []string) []string { l[1], l[2] = l[2], l[1]; return l }), 2},
		{"written twice", with(func(l []string) []string { l[3] = l[2]; return l }), 4},
		{"a member added", with(func(l []string) []string { l[4] = strings.Replace(l[4], `{"event"`, `{"x":1,"event"`, 1); return l }), 5},
		{"a space added", with(func(l []string) []string { l[4] = strings.Replace(l[4], `{"event"`, `{ "event"`, 1); return l }), 5},
		{"taken from another trail", with(func(l []string) []string { l[2] = others[2]; return l }), 3},
		{"forged with a number left out", with(func(l []string) []string { l[3] = forge(t, l[2], l[5]); return l[:4] }), 4},
		{"another line", with(func(l []string) []string { l[4] = "hello\n"; return l }), 5},
		{"a bad hash", with(func(l []string) []string { l[5] = strings.Replace(l[5], `"prev":"`, `"prev":"x`, 1); return l }), 6},
		{"torn", with(func(l []string) []string { l[5] = l[5][:20]; return l }), 6},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			_, err := audit.Verify(strings.NewReader(tt.text))
			require.ErrorIs(t, err, audit.ErrBroken)
			var broken *audit.BrokenError
			require.ErrorAs(t, err, &broken)
			assert.Equal(t, tt.line, broken.Line)
		})
	}
	report, err := audit.Verify(strings.NewReader(strings.Join(lines[2:], "")))
	require.NoError(t, err, "older records may be kept elsewhere")
	assert.Equal(t, uint64(3), report.First)
	assert.NotEqual(t, strings.Repeat("0", 64), report.Begin)
	report, err = audit.Verify(strings.NewReader(""))
	require.NoError(t, err)
	assert.Zero(t, report.Records)
}

// forge makes the event of one line follow the record of another, as somebody
// could who knows how the chain is made.
func forge(t *testing.T, after, line string) string {
	t.Helper()
	var a, l struct {
		Event      json.RawMessage
		Prev, Hash string
	}
	require.NoError(t, json.Unmarshal([]byte(after), &a))
	require.NoError(t, json.Unmarshal([]byte(line), &l))
	prev, err := hex.DecodeString(a.Hash)
	require.NoError(t, err)
	hash := sha256.Sum256(append(prev, l.Event...))
	return fmt.Sprintf("{\"event\":%s,\"prev\":\"%s\",\"hash\":\"%x\"}\n", l.Event, a.Hash, hash)
}

func TestATornLineIsCutOffAndRecorded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	trail := open(t, path)
	record(t, trail, 3)
	require.NoError(t, trail.Close())
	whole := read(t, path)
	for cut := 1; cut < 40; cut += 7 {
		require.NoError(t, os.WriteFile(path, whole[:len(whole)-cut], 0o600))
		trail, err := audit.Open(path, audit.Options{Key: key})
		require.NoError(t, err)
		require.NoError(t, trail.Close())
		report, err := audit.Verify(bytes.NewReader(read(t, path)))
		require.NoError(t, err)
		assert.Equal(t, 3, report.Records)
		assert.Contains(t, string(read(t, path)), `"kind":"recovered"`)
		assert.Contains(t, string(read(t, path)), `"torn_bytes":`)
	}
	require.NoError(t, os.WriteFile(path, []byte(`{"event":`), 0o600))
	trail = open(t, path)
	seq, _ := trail.Last()
	assert.Equal(t, uint64(1), seq, "not even the first line was whole")
}

func TestSomebodyElsesFileIsNotWrittenTo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes.txt")
	require.NoError(t, os.WriteFile(path, []byte("dear diary\n"), 0o600))
	_, err := audit.Open(path, audit.Options{})
	assert.ErrorContains(t, err, "no record of a trail")
	assert.Equal(t, "dear diary\n", string(read(t, path)))
	_, err = audit.Open(filepath.Join(t.TempDir(), "no", "such"), audit.Options{})
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestATrailHasOneWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	trail := open(t, path)
	_, err := audit.Open(path, audit.Options{})
	assert.ErrorContains(t, err, "open in another process")
	require.NoError(t, trail.Close())
	require.NoError(t, trail.Close())
	assert.ErrorIs(t, trail.Record(t.Context(), event("e", safety.High)), audit.ErrClosed)
	assert.ErrorIs(t, trail.Healthy(t.Context()), audit.ErrClosed)
	assert.NoError(t, trail.Flush())
}

func TestManyWriteAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	trail := open(t, path)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { assert.NoError(t, trail.Run(ctx)) })
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() { record(t, trail, 25) })
	}
	writers.Wait()
	cancel()
	all.Wait()
	report, err := audit.Verify(bytes.NewReader(read(t, path)))
	require.NoError(t, err)
	assert.Equal(t, 200, report.Records)
	assert.Equal(t, uint64(200), trail.Stats().Written)
}

func TestMemoryKeepsTheLastEvents(t *testing.T) {
	m := &audit.Memory{Max: 3}
	for i := range 10 {
		require.NoError(t, m.Record(t.Context(), event(fmt.Sprint(i), safety.Low)))
	}
	require.Len(t, m.Events(), 3)
	assert.Equal(t, "7", m.Events()[0].ID)
	assert.Equal(t, "9", m.Events()[2].ID)
}

func FuzzVerify(f *testing.F) {
	path := filepath.Join(f.TempDir(), "audit.jsonl")
	trail, err := audit.Open(path, audit.Options{Key: key})
	require.NoError(f, err)
	for range 3 {
		require.NoError(f, trail.Record(context.Background(), event("e", safety.High)))
	}
	require.NoError(f, trail.Close())
	whole, err := os.ReadFile(path)
	require.NoError(f, err)
	f.Add(whole)
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		report, err := audit.Verify(bytes.NewReader(text))
		if err != nil {
			require.ErrorIs(t, err, audit.ErrBroken)
			return
		}
		require.Equal(t, bytes.Count(text, []byte("\n")), report.Records)
	})
}

func TestARecordCanBeReadByOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	trail := open(t, path)
	record(t, trail, 4)
	require.NoError(t, trail.Close())
	line, _, _ := bytes.Cut(read(t, path)[bytes.LastIndexByte(bytes.TrimSpace(read(t, path)), '\n')+1:], []byte("\n"))
	var got struct {
		Event      json.RawMessage
		Prev, Hash string
	}
	require.NoError(t, json.Unmarshal(line, &got))
	prev, err := hex.DecodeString(got.Prev)
	require.NoError(t, err)
	sum := sha256.Sum256(append(prev, got.Event...))
	assert.Equal(t, got.Hash, hex.EncodeToString(sum[:]), "anybody can check the chain with two lines of code")
	var e safety.Event
	require.NoError(t, json.Unmarshal(got.Event, &e))
	assert.Equal(t, safety.High, e.Severity)
}
