package h1

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// explain turns what reading or writing said into an Error.
func (x *exchange) explain(phase Phase, err error) error {
	var own *BodyError
	switch {
	case x.up != nil && errors.As(x.up.failure(), &own):
		phase, err = PhaseWrite, own
	case x.up != nil && !x.answered && x.up.failure() != nil:
		phase, err = PhaseWrite, x.up.failure()
	case !x.answered && x.writeErr != nil:
		phase, err = PhaseWrite, x.writeErr
	}
	if err == io.EOF {
		if err = ErrNoAnswer; x.answered {
			err = io.ErrUnexpectedEOF
		}
	}
	return x.fault(phase, err)
}

// fault wraps err with the circumstances.
func (x *exchange) fault(phase Phase, err error) error {
	e := &Error{Phase: phase, Addr: x.addr, Answered: x.answered, Err: err}
	e.Sent = x.before || x.sent || x.up != nil && x.up.sent.Load()
	if x.c != nil {
		e.Reused = x.c.used
	}
	switch {
	case phase > PhaseRequest && x.ctx.Err() != nil:
		e.Err = context.Cause(x.ctx)
	case e.Reused && !e.Answered && phase > PhaseDial && connectionFault(err):
		e.Err = fmt.Errorf("%w: %w", staleness(e.Sent), err)
	}
	return e
}

func staleness(sent bool) error {
	if sent {
		return ErrStale
	}
	return errBroken
}

// connectionFault tells a broken connection from a timeout, a malformed
// answer, or a body that could not be read.
func connectionFault(err error) bool {
	var protocol *ProtocolError
	var body *BodyError
	return !isTimeout(err) && !errors.As(err, &protocol) && !errors.As(err, &body)
}
