package ratelimit

import "context"

// A Store keeps the buckets. [Memory] keeps them in this process, the
// redisstore package on a server that several processes share, [Fallback]
// does the one while the other is down.
//
// What every Store promises (ratelimittest.TestStore checks it):
//
//  1. Validity. Each limit is checked with [Limit.Validate] before anything
//     is taken; the error comes back wrapped, so that errors.Is finds
//     [ErrLimit].
//  2. All or none. A Take over several limits takes from every one of them or
//     from none.
//  3. No more than the rate. Over any time T, at most Burst + N·T/Per units
//     of one bucket are allowed, however many goroutines (and, where it is
//     shared, processes) ask.
//  4. A refusal costs nothing. It takes no unit and postpones nobody: who
//     hammers a used-up limit waits no longer than who is patient.
//  5. Buckets are told apart by Name and Key, exactly: ("a", "bc") is not
//     ("ab", "c"). Cost 0 takes 1 unit. The same bucket named twice in one
//     Take pays twice.
//  6. The zero [Rate] allows everything and leaves no trace. No limits at all
//     are allowed, with a Decision whose Limit is zero.
//  7. The Decision is that of [Strictest]: it speaks of a limit as it was
//     passed in.
//  8. RetryAfter is right: after it has passed, and if nobody else took
//     anything, the same Take is allowed. It is positive in every refusal and
//     zero otherwise.
//  9. An error means that nothing is known: the Decision is then the zero
//     one, which refuses. An error is not a refusal: what [ErrExceeded] means
//     is said by the Decision alone.
//  10. Take returns in bounded time even when ctx has no deadline: a store
//     that asks over a network brings its own. It is safe for simultaneous
//     use, keeps no reference to the slice, and forgets full buckets by
//     itself.
type Store interface {
	Take(ctx context.Context, limits ...Limit) (Decision, error)
}

// A StoreFunc is a function used as a [Store].
type StoreFunc func(ctx context.Context, limits ...Limit) (Decision, error)

// Take calls f.
func (f StoreFunc) Take(ctx context.Context, limits ...Limit) (Decision, error) {
	return f(ctx, limits...)
}

// validate is the first rule of a Store.
func validate(limits []Limit) error {
	for i := range limits {
		if err := limits[i].Validate(); err != nil {
			return err
		}
	}
	return nil
}
