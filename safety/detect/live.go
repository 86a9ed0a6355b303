package detect

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/theinterneti/tta-gateway/safety"
)

// Live is a detector whose pack can be exchanged while it works. A pack that
// does not compile, or does not hear its own sentences, is refused with every
// complaint, and the old one stays. The zero Live judges with [Default]. It is
// safe for simultaneous use and must not be copied after first use.
type Live struct{ active atomic.Pointer[Detector] }

// Detector returns the one that judges now.
func (l *Live) Detector() *Detector {
	if d := l.active.Load(); d != nil {
		return d
	}
	return Default()
}

// Load compiles a pack and, if it is sound, lets it judge from the next text on.
// Texts and streams under way finish with the pack they began with.
func (l *Live) Load(sources ...Source) error {
	d, err := New(sources...)
	if err != nil {
		return err
	}
	if err := d.SelfTest(); err != nil {
		return err
	}
	l.active.Store(d)
	return nil
}

// Prompt promises what [Detector.Prompt] promises.
func (l *Live) Prompt() {}

// Inspect judges a text with the active pack.
func (l *Live) Inspect(ctx context.Context, c safety.Content) (safety.Verdict, error) {
	return l.Detector().Inspect(ctx, c)
}

// Open begins a text with the active pack.
func (l *Live) Open(ctx context.Context, c safety.Content) (safety.Stream, error) {
	return l.Detector().Open(ctx, c)
}

// Follow follows a conversation with the active pack.
func (l *Live) Follow(ctx context.Context, c safety.Content, trajectory []byte, now time.Time) (safety.Verdict, safety.Severity, []byte, error) {
	return l.Detector().Follow(ctx, c, trajectory, now)
}

// Beside judges every text with an active and a candidate inspector and answers
// with the active one's verdict: a new pack can be watched before it counts.
type Beside struct {
	Active, Candidate safety.Inspector
	// Changed hears of each text on which severities differ. It gets no text.
	Changed func(active, candidate safety.Verdict)
}

// Inspect answers as Active does.
func (b Beside) Inspect(ctx context.Context, c safety.Content) (safety.Verdict, error) {
	v, err := b.Active.Inspect(ctx, c)
	if err != nil || b.Candidate == nil {
		return v, err
	}
	if other, cerr := b.Candidate.Inspect(ctx, c); cerr == nil && other.Severity != v.Severity && b.Changed != nil {
		b.Changed(v, other)
	}
	return v, nil
}
