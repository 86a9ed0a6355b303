package auth

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Policy decides whether an identity may do what a request asks. Check returns nil, or an error that wraps
// [ErrUnauthenticated] for nobody, [ErrForbidden] for somebody, [ErrUnavailable] if it cannot tell. String is the
// policy's written form; [ParsePolicy] reads that of every policy in this package except [PolicyFunc]'s.
//
// Policies are safe for simultaneous use and must not read the request's body.
type Policy interface {
	Check(*http.Request, Identity) error
	String() string
}

// The policies without parameters. They must not be assigned to.
var (
	// Anyone lets everybody in, nobody included. It can be compared with ==.
	Anyone Policy = &rule{"anyone", func(*http.Request, Identity) error { return nil }}
	// Known lets in whoever is somebody.
	Known Policy = rule{"known", func(_ *http.Request, id Identity) error { return somebody(id) }}
	// MFA lets in whoever has shown a second factor. The TTA services issue no such tokens as of today: a route that
	// demands it refuses all of their users. Never put it before help.
	MFA Policy = rule{"mfa", checkMFA}
	// Nobody lets no one in.
	Nobody Policy = rule{"nobody", checkNobody}
)

// Role lets in whoever has one of the roles. Without names it is [Nobody].
func Role(names ...string) Policy {
	if len(names) == 0 {
		return Nobody
	}
	names = slices.Clone(names)
	return rule{call("role", names), func(_ *http.Request, id Identity) error {
		if slices.ContainsFunc(names, id.HasRole) {
			return nil
		}
		return refusal(id, ErrForbidden)
	}}
}

// Permission lets in whoever has every one of the permissions: more names ask for more. For one of several, use
// Either(Permission(a), Permission(b)). Without names it is [Nobody].
func Permission(names ...string) Policy {
	if len(names) == 0 {
		return Nobody
	}
	denied := &ScopeError{Scopes: slices.Clone(names)}
	return rule{call("permission", names), func(_ *http.Request, id Identity) error {
		for _, name := range denied.Scopes {
			if !id.HasPermission(name) {
				return refusal(id, denied)
			}
		}
		return nil
	}}
}

// Owner lets in whoever is the player that the path names: r.PathValue(param) must equal [Identity.Player]. Where the
// route has no such path value, it lets no one in. Nobody is excepted, whatever their role; to let staff in as well,
// say so: Either(Owner("player_id"), Role("admin")).
func Owner(param string) Policy {
	return rule{call("owner", []string{param}), func(r *http.Request, id Identity) error {
		if owner := r.PathValue(param); owner != "" && id.Known() && owner == id.Player {
			return nil
		}
		return refusal(id, ErrForbidden)
	}}
}

// PolicyFunc makes a policy of a function. The name is what String returns; ParsePolicy does not know it. A nil
// function lets no one in.
func PolicyFunc(name string, f func(*http.Request, Identity) error) Policy {
	if f == nil {
		f = checkNobody
	}
	return rule{name, f}
}

// rule is a policy that is a function with a name.
type rule struct {
	name  string
	check func(*http.Request, Identity) error
}

func (p rule) Check(r *http.Request, id Identity) error { return p.check(r, id) }
func (p rule) String() string                           { return p.name }

func somebody(id Identity) error {
	if !id.Known() {
		return ErrUnauthenticated
	}
	return nil
}

// refusal is the error for an identity that a policy does not let in: nobody may come back as somebody.
func refusal(id Identity, err error) error {
	if !id.Known() {
		return ErrUnauthenticated
	}
	return err
}

func checkMFA(_ *http.Request, id Identity) error {
	if id.Known() && id.MFA {
		return nil
	}
	return refusal(id, ErrMFARequired)
}

func checkNobody(*http.Request, Identity) error { return ErrForbidden }

// All lets in whoever every one of the policies lets in, asked in order; the first refusal stands. All() is [Anyone].
// A nil policy among them lets no one in.
func All(policies ...Policy) Policy {
	list := gather[all](policies)
	switch len(list) {
	case 0:
		return Anyone
	case 1:
		return list[0]
	}
	return list
}

// Either lets in whoever one of the policies lets in, asked in order. When none does, not knowing ([ErrUnavailable])
// comes before refusing, and then the first refusal stands; a refusal that a second factor would lift comes before
// one that nothing would. Either() is [Nobody]. A nil policy among them lets no one in.
func Either(policies ...Policy) Policy {
	list := gather[either](policies)
	switch len(list) {
	case 0:
		return Nobody
	case 1:
		return list[0]
	}
	return list
}

type (
	all    []Policy
	either []Policy
)

// gather copies the policies and spreads those of the same kind: (a & b) & c is a & b & c.
func gather[kind ~[]Policy](policies []Policy) kind {
	var list kind
	for _, p := range policies {
		if inner, same := any(p).(kind); same {
			list = append(list, inner...)
			continue
		}
		if p == nil {
			p = Nobody
		}
		list = append(list, p)
	}
	return list
}

func (p all) Check(r *http.Request, id Identity) error {
	for _, one := range p {
		if err := one.Check(r, id); err != nil {
			return err
		}
	}
	return nil
}

func (p either) Check(r *http.Request, id Identity) error {
	var refusal error
	for _, one := range p {
		err := one.Check(r, id)
		if err == nil {
			return nil
		}
		refusal = nearer(refusal, err)
	}
	return refusal
}

// nearer returns the refusal that tells the caller more about how to be let in.
func nearer(first, second error) error {
	if first == nil || hope(second) > hope(first) {
		return second
	}
	return first
}

func hope(err error) int {
	switch {
	case errors.Is(err, ErrUnavailable):
		return 3
	case errors.Is(err, ErrUnauthenticated):
		return 2
	case errors.Is(err, ErrMFARequired):
		return 1
	}
	return 0
}

func (p all) String() string {
	parts := make([]string, len(p))
	for i, one := range p {
		parts[i] = one.String()
		if _, loose := one.(either); loose { // "&" binds closer than "|"
			parts[i] = "(" + parts[i] + ")"
		}
	}
	return strings.Join(parts, " & ")
}

func (p either) String() string {
	parts := make([]string, len(p))
	for i, one := range p {
		parts[i] = one.String()
	}
	return strings.Join(parts, " | ")
}

// call writes name(a,b), quoting what could not be read back otherwise.
func call(name string, args []string) string {
	written := make([]string, len(args))
	for i, arg := range args {
		written[i] = arg
		if !isWord(arg) {
			written[i] = strconv.Quote(arg)
		}
	}
	return fmt.Sprintf("%s(%s)", name, strings.Join(written, ","))
}

func isWord(s string) bool { return s != "" && isAll(s, wordBytes) }
