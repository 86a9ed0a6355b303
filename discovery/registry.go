package discovery

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// What can be wrong, as classes that a caller decides on with errors.Is.
var (
	// ErrNoInstance: nobody serves this at the moment.
	ErrNoInstance = errors.New("discovery: no instance")
	// ErrUnknownService: the registry knows nobody of this name. It is an
	// answer, not a failure to answer, and is an ErrNoInstance too.
	ErrUnknownService = fmt.Errorf("%w: service is unknown", ErrNoInstance)
	// ErrUnknownInstance: there is no lease of this ID, or it has run out. The
	// instance registers again.
	ErrUnknownInstance = errors.New("discovery: instance is not registered: register it again")
	// ErrStale: the instances returned beside this error are an earlier answer,
	// or a part of one, and may be used.
	ErrStale = errors.New("discovery: answer is not fresh")
	// ErrInvalid: what was given cannot be an instance, a lease or a request.
	ErrInvalid = errors.New("discovery: invalid")
	// ErrFull: the registrar holds as much as it may.
	ErrFull = errors.New("discovery: registry is full")
)

// Lease bounds. A lease of zero means DefaultLease.
const (
	DefaultLease = 90 * time.Second
	MinLease     = time.Second
	MaxLease     = 24 * time.Hour
)

// A Registry knows which instances there are of a service.
//
// Rules for those who implement it; discoverytest.TestRegistry enforces them:
//
//  1. Instances is safe for simultaneous use.
//  2. It returns only instances that may get work now, those whose Draining is
//     set included: no instance whose lease has run out.
//  3. Every instance is valid and complete ([Instance.Complete]), carries the
//     service's name, and has an ID that none of its neighbours has.
//  4. The order is the same as long as the instances are.
//  5. A service that the registry does not know gives an error that wraps
//     [ErrUnknownService]. One that it knows, and which has no instance now,
//     gives none and no error.
//  6. Any other error says that the registry could not tell. Instances returned
//     beside it are the last good answer, or the part of it that could be found
//     out, and the error then wraps [ErrStale].
//  7. It returns soon after ctx ends.
//  8. The caller may do with the slice what he likes; nobody changes what the
//     instances in it point to.
type Registry interface {
	Instances(ctx context.Context, service string) ([]Instance, error)
}

// RegistryFunc makes a Registry of a function.
type RegistryFunc func(ctx context.Context, service string) ([]Instance, error)

// Instances calls f.
func (f RegistryFunc) Instances(ctx context.Context, service string) ([]Instance, error) {
	return f(ctx, service)
}

// A Watcher is a Registry that tells of changes by itself. It is optional.
//
// Rules for those who implement it; discoverytest.TestWatcher enforces them:
//
//  1. Watch blocks until ctx ends, and then returns ctx's error; or until it
//     cannot go on, and then returns why. The caller may call it again.
//  2. It first calls set once for every service that it knows, then again for
//     every service whose instances changed, with all of them.
//  3. A service that has gone gets a set with no instances.
//  4. Calls of set of one Watch never overlap, and none comes after Watch has
//     returned. A slow set delays only this Watch: changes meanwhile may be
//     told as one.
//  5. A lease that runs out is a change, and is told without being asked for.
//  6. What Instances answers after a set is as new as what was set, or newer.
type Watcher interface {
	Watch(ctx context.Context, set func(service string, all []Instance)) error
}

// A Registrar takes instances in.
//
// Rules for those who implement it; discoverytest.TestRegistrar enforces them:
//
//  1. All methods are safe for simultaneous use.
//  2. Register completes the instance ([Instance.Complete]), refuses an invalid
//     one with an error that wraps [ErrInvalid], and replaces an instance of the
//     same service and ID. What it accepted is seen by the next Instances.
//  3. A ttl of zero means [DefaultLease]. One below [MinLease] or above
//     [MaxLease] is refused with [ErrInvalid].
//  4. Heartbeat starts the lease anew from now. For an instance whose lease has
//     run out, and for one that never was, it returns [ErrUnknownInstance].
//  5. Deregister of an instance that is not there is no error.
//  6. An instance whose lease has run out is not seen any more, whether or not
//     anything sweeps.
type Registrar interface {
	Register(ctx context.Context, i Instance, ttl time.Duration) error
	Heartbeat(ctx context.Context, service, id string, ttl time.Duration) error
	Deregister(ctx context.Context, service, id string) error
}

// A Lister is a Registry that can name its services, sorted. It is optional.
type Lister interface {
	Services(ctx context.Context) ([]string, error)
}

// Lease returns the ttl that a Registrar uses for ttl, after rule 3 of
// [Registrar].
func Lease(ttl time.Duration) (time.Duration, error) {
	switch {
	case ttl == 0:
		return DefaultLease, nil
	case ttl < MinLease, ttl > MaxLease:
		return 0, invalid("lease of %s: use %s to %s", ttl, MinLease, MaxLease)
	}
	return ttl, nil
}

// UnknownService returns the error of rule 5 of [Registry] for service.
func UnknownService(service string) error {
	return fmt.Errorf("%w: %q", ErrUnknownService, clip(service))
}
