package external

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/theinterneti/tta-gateway/safety"
)

// A Classifier judges a text somewhere else. Classify must obey the context's
// deadline and be safe for simultaneous use. It must not keep the text.
type Classifier interface {
	Classify(context.Context, safety.Content) (safety.Verdict, error)
}

// ClassifierFunc is a function that is a [Classifier].
type ClassifierFunc func(context.Context, safety.Content) (safety.Verdict, error)

// Classify calls f.
func (f ClassifierFunc) Classify(ctx context.Context, c safety.Content) (safety.Verdict, error) {
	return f(ctx, c)
}

// What a [Second] does when its fields are zero.
const (
	DefaultTimeout     = 500 * time.Millisecond
	DefaultConcurrency = 16
	DefaultMaxBytes    = 4 << 10
)

// ErrBusy says that no second opinion was asked because too many are under way.
var ErrBusy = errors.New("external: too many questions under way")

// Second is an inspector that asks a [Classifier] about the texts on which its
// first inspector is unsure. It must be used by pointer, not be copied after
// first use, and is safe for simultaneous use.
type Second struct {
	// First judges every text. It must not be nil.
	First safety.Inspector
	// Classifier is asked about some of them; nil asks nobody.
	Classifier Classifier

	// Low and High bound the band of scores in which a second opinion is
	// asked: 0 and 0 mean 0.05 and 0.9. Above it the local verdict is sure,
	// below it nothing hints at a danger, and nothing is sent.
	Low, High float64
	// MayLower lets a second opinion lower a verdict of low or moderate. A
	// high or imminent one is never lowered. By default nothing is.
	MayLower bool
	// Timeout bounds one question, 0 means DefaultTimeout.
	Timeout time.Duration
	// Concurrency bounds the questions under way, 0 means DefaultConcurrency.
	// A text that finds no room keeps its local verdict; nobody waits.
	Concurrency int
	// MaxBytes bounds what is sent of one text, 0 means DefaultMaxBytes.
	// Longer texts are not sent.
	MaxBytes int
	// Allow, if set, is asked before each question, and its done is told how
	// it went: a health.Breaker's Allow fits.
	Allow func() (done func(error), err error)
	// OnError, if set, hears why a question failed. Errors hold no text.
	OnError func(error)

	counts counts
	room   atomic.Int64
}

type counts struct {
	asked, bytes, failed, skipped, raised, lowered atomic.Int64
}

// Counts says what was sent and what came of it, since the start.
type Counts struct {
	Asked   int64 // texts sent
	Bytes   int64 // of those texts
	Failed  int64 // questions without an answer
	Skipped int64 // texts in the band that were not sent: no room, too long, breaker open
	Raised  int64 // verdicts raised
	Lowered int64 // verdicts lowered
}

// Counts returns the counters.
func (s *Second) Counts() Counts {
	c := &s.counts
	return Counts{c.asked.Load(), c.bytes.Load(), c.failed.Load(), c.skipped.Load(), c.raised.Load(), c.lowered.Load()}
}

// Inspect judges locally and, in the band, asks. The error is First's.
func (s *Second) Inspect(ctx context.Context, c safety.Content) (safety.Verdict, error) {
	local, err := s.First.Inspect(ctx, c)
	if err != nil || !s.wants(local) {
		return local, err
	}
	other, err := s.ask(ctx, c)
	if err != nil {
		if s.OnError != nil {
			s.OnError(err)
		}
		return local, nil
	}
	return s.join(local, other), nil
}

func (s *Second) wants(v safety.Verdict) bool {
	low, high := s.Low, s.High
	if low == 0 && high == 0 {
		low, high = 0.05, 0.9
	}
	return s.Classifier != nil && v.Skipped == "" && v.Score >= low && v.Score <= high
}

// ask sends one text, within all bounds.
func (s *Second) ask(ctx context.Context, c safety.Content) (v safety.Verdict, err error) {
	if len(c.Text) > or(s.MaxBytes, DefaultMaxBytes) {
		s.counts.skipped.Add(1)
		return v, fmt.Errorf("external: %d bytes are too long to send", len(c.Text))
	}
	if s.room.Add(1) > int64(or(s.Concurrency, DefaultConcurrency)) {
		s.room.Add(-1)
		s.counts.skipped.Add(1)
		return v, ErrBusy
	}
	defer s.room.Add(-1)
	done := func(error) {}
	if s.Allow != nil {
		if done, err = s.Allow(); err != nil {
			s.counts.skipped.Add(1)
			return v, fmt.Errorf("external: not allowed: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, or(s.Timeout, DefaultTimeout))
	defer cancel()
	s.counts.asked.Add(1)
	s.counts.bytes.Add(int64(len(c.Text)))
	v, err = s.classify(ctx, c)
	done(err)
	if err != nil {
		s.counts.failed.Add(1)
	}
	return v, err
}

// classify turns a panic of the classifier into an error.
func (s *Second) classify(ctx context.Context, c safety.Content) (v safety.Verdict, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("external: the classifier panicked: %T", r)
		}
	}()
	return s.Classifier.Classify(ctx, c)
}

// join lets the second opinion raise, and lower where it may.
func (s *Second) join(local, other safety.Verdict) safety.Verdict {
	switch {
	case other.Severity > local.Severity:
		s.counts.raised.Add(1)
		return safety.Highest(local, other)
	case s.MayLower && other.Severity < local.Severity && local.Severity <= safety.Moderate:
		s.counts.lowered.Add(1)
		local.Severity = other.Severity
		local.Score = min(local.Score, other.Score)
		for i := range local.Findings {
			local.Findings[i].Severity = min(local.Findings[i].Severity, other.Severity)
			local.Findings[i].Frames = append(local.Findings[i].Frames, "second opinion")
		}
		if other.Severity == safety.None {
			local.Categories = nil
		}
	}
	return local
}

func or[T int | time.Duration](v, otherwise T) T {
	if v > 0 {
		return v
	}
	return otherwise
}
