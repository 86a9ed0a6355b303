package safety

import (
	"bytes"
	"context"
	"errors"
	"time"
)

// course is what a [Follower] made of a conversation.
type course struct {
	level Severity
	rose  bool // to high or above, with this message
}

// isFollowed reports whether there is somebody to follow the conversation, and a
// conversation to follow.
func (x *exchange) isFollowed() bool {
	_, ok := x.guard.Inspector.(Follower)
	return ok && x.key() != ""
}

// pursue lets the Follower hear what was said. The state is read, followed and
// written without holding the store meanwhile; if another message of the same
// conversation came between, it is followed once more, from there.
func (x *exchange) pursue(ctx context.Context, said []byte) (c course) {
	if len(said) == 0 {
		return course{}
	}
	now, store := time.Now(), x.guard.ready().sessions
	before, err := store.Load(ctx, x.key())
	if err != nil {
		return course{}
	}
	level, next, err := x.hear(ctx, said, before.Trajectory, now)
	if err != nil {
		return course{}
	}
	_, err = store.Update(ctx, x.key(), func(s *State) {
		if !bytes.Equal(s.Trajectory, before.Trajectory) {
			if l, n, err := x.hear(ctx, said, s.Trajectory, now); err == nil {
				level, next = l, n
			}
		}
		c = course{level: level, rose: level >= High && level > s.Followed}
		s.Trajectory, s.Followed, s.Heard = next, level, now
	})
	if err != nil {
		return course{}
	}
	return c
}

// hear asks the Follower and survives it.
func (x *exchange) hear(ctx context.Context, said, trajectory []byte, now time.Time) (level Severity, next []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New(panicked(p))
		}
	}()
	c := x.guard.inquire(x.route, x.key(), Request).content
	c.Text = said
	_, level, next, err = x.guard.Inspector.(Follower).Follow(ctx, c, trajectory, now)
	return min(max(level, None), Imminent), next, err
}
