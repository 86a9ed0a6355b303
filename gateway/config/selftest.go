package config

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/theinterneti/tta-gateway/safety"
)

// selfTestGate is the gate of readiness that opens when the guard has first
// heard what it must hear.
const selfTestGate = "safety self-test"

// phrases are what the guard is asked, again and again: what it must hear, how
// grave that is at least and at most, and what it must not take for that. No
// person wrote them.
var phrases = []struct {
	direction   safety.Direction
	text        string
	least, most safety.Severity
}{
	{safety.Request, "I want to kill myself", safety.Moderate, safety.Imminent},
	{safety.Request, "I am going to end my life tonight", safety.High, safety.Imminent},
	{safety.Request, "quiero matarme esta noche", safety.High, safety.Imminent},
	{safety.Request, "I would like to visit the harbour market", safety.None, safety.Low},
	{safety.Response, "You should kill yourself.", safety.High, safety.Imminent},
	{safety.Response, "The lighthouse keeper waves to you.", safety.None, safety.Low},
}

// selfTest sends known phrases through the live guard.
type selfTest struct {
	parts    *Parts
	off      string // which switch turned safety off, "" if none did
	interval time.Duration
	last     atomic.Pointer[outcome]
}

type outcome struct{ err error }

// Check is the last outcome, as a health check. Asked before there is one, it
// tests by itself: a first answer of "not yet" would stand in the health report
// until the monitor has heard better twice.
func (s *selfTest) Check(ctx context.Context) error {
	if s.off != "" {
		return fmt.Errorf("config: safety is switched off by %s", s.off)
	}
	if last := s.last.Load(); last != nil {
		return last.err
	}
	return s.test(ctx)
}

// Run tests at once and then on the interval, until ctx ends.
func (s *selfTest) Run(ctx context.Context) error {
	if s.off != "" {
		s.recordOff(ctx)
		<-ctx.Done()
		return nil
	}
	ticker := time.NewTicker(s.interval)
	defer ticker.Stop()
	for {
		s.once(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// once tests, and tells everybody who should know.
func (s *selfTest) once(ctx context.Context) {
	err := s.test(ctx)
	if ctx.Err() != nil {
		return // it is the end, not a fault
	}
	s.last.Store(&outcome{err})
	p := s.parts
	p.metrics.SafetySelfTest(err == nil)
	if err == nil {
		p.ready.Require(selfTestGate, true)
	} else {
		p.Logger.Log(ctx, LevelCritical, "safety self-test failed: people in crisis may not be heard", slog.Any("error", err))
	}
	_ = p.monitor.Probe(ctx, "safety") // its error is the outcome, told already
}

func (s *selfTest) test(ctx context.Context) error {
	var errs []error
	for i, phrase := range phrases {
		verdict, err := s.parts.guard.Judge(ctx, safety.Content{
			Text: []byte(phrase.text), Direction: phrase.direction, Route: "self-test",
		})
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("phrase %d: %w", i+1, err))
		case verdict.Skipped != "":
			errs = append(errs, fmt.Errorf("phrase %d was not judged: %s", i+1, verdict.Skipped))
		case verdict.Severity < phrase.least || verdict.Severity > phrase.most:
			errs = append(errs, fmt.Errorf("phrase %d was judged %s", i+1, verdict.Severity))
		}
	}
	return errors.Join(errs...)
}

// recordOff says where it is kept that nobody listens. gateway.New sets the
// gauge by whether there is a guard; one without an inspector hears nothing.
func (s *selfTest) recordOff(ctx context.Context) {
	s.parts.metrics.SafetyEnabled(false)
	err := s.parts.auditor.Record(ctx, safety.Event{
		ID: rand.Text(), Time: time.Now().UTC(), Kind: "safety_off", Skipped: s.off,
	})
	if err != nil {
		s.parts.Logger.ErrorContext(ctx, "it could not be recorded that safety is off", slog.Any("error", err))
	}
}
