package auth

import (
	"fmt"
	"strconv"
	"strings"
)

// Bounds of a written policy: far above what anybody writes, far below what would hurt.
const (
	maxPolicyLength = 4096
	maxPolicyDepth  = 32
)

// PolicyError tells where a written policy cannot be read, and why.
type PolicyError struct {
	Policy string // as it was given
	Offset int    // in bytes, from 0; len(Policy) is its end
	Reason string
}

func (e *PolicyError) Error() string {
	return fmt.Sprintf("auth: policy %q, character %d: %s", abbreviate(e.Policy), e.Offset+1, e.Reason)
}

func abbreviate(s string) string {
	if len(s) <= 80 {
		return s
	}
	return s[:80] + "…"
}

// ParsePolicy reads the written form of a policy:
//
//	policy = all *( "|" all )               any of them       Either
//	all    = one *( "&" one )               every one         All
//	one    = "anyone" | "known" | "mfa" | "nobody"
//	       | "role(" names ")"              one of the roles  Role
//	       | "permission(" names ")"        all of them       Permission
//	       | "owner(" name ")"              a path value      Owner
//	       | "(" policy ")"
//
// A name is a word of letters, digits and - _ . : / @ *, or a Go string in double quotes. Spaces count for nothing.
// ParsePolicy(p.String()) is p again, for every policy of this package without a [PolicyFunc] in it. Texts above 4096
// bytes and parentheses more than 32 deep are refused. The error is a [*PolicyError].
func ParsePolicy(s string) (Policy, error) {
	if len(s) > maxPolicyLength {
		return nil, &PolicyError{s, maxPolicyLength, fmt.Sprintf("longer than %d bytes", maxPolicyLength)}
	}
	p := &parser{text: s}
	policy, err := p.either(0)
	if err != nil {
		return nil, err
	}
	if p.peek(); p.at < len(s) {
		return nil, p.wrong(`expected "&", "|" or the end`)
	}
	return policy, nil
}

// parser reads one policy by recursive descent; at is the offset of what comes next.
type parser struct {
	text string
	at   int
}

func (p *parser) either(depth int) (Policy, error) {
	return p.list('|', depth, p.all, Either)
}

func (p *parser) all(depth int) (Policy, error) {
	return p.list('&', depth, p.one, All)
}

func (p *parser) list(sep byte, depth int, item func(int) (Policy, error), join func(...Policy) Policy) (Policy, error) {
	var list []Policy
	for {
		one, err := item(depth)
		if err != nil {
			return nil, err
		}
		list = append(list, one)
		if !p.take(sep) {
			return join(list...), nil
		}
	}
}

func (p *parser) one(depth int) (Policy, error) {
	if depth > maxPolicyDepth {
		return nil, p.wrong("nested too deeply")
	}
	if p.take('(') {
		return p.group(depth)
	}
	return p.named()
}

func (p *parser) group(depth int) (Policy, error) {
	inner, err := p.either(depth + 1)
	if err != nil {
		return nil, err
	}
	if !p.take(')') {
		return nil, p.wrong(`expected ")"`)
	}
	return inner, nil
}

func (p *parser) named() (Policy, error) {
	p.peek()
	start := p.at
	switch name := p.word(); name {
	case "anyone":
		return Anyone, nil
	case "known":
		return Known, nil
	case "mfa":
		return MFA, nil
	case "nobody":
		return Nobody, nil
	case "role":
		return p.call(Role)
	case "permission":
		return p.call(Permission)
	case "owner":
		return p.owner()
	case "":
		return nil, p.wrong("expected a policy")
	default:
		return nil, &PolicyError{p.text, start, fmt.Sprintf("unknown policy %q; "+
			"there are anyone, known, mfa, nobody, role(…), permission(…), owner(…)", abbreviate(name))}
	}
}

func (p *parser) call(build func(...string) Policy) (Policy, error) {
	names, err := p.names()
	if err != nil {
		return nil, err
	}
	return build(names...), nil
}

func (p *parser) owner() (Policy, error) {
	names, err := p.names()
	if err != nil {
		return nil, err
	}
	if len(names) != 1 {
		return nil, p.wrong("owner takes one path parameter")
	}
	return Owner(names[0]), nil
}

// names reads "(" name { "," name } ")".
func (p *parser) names() ([]string, error) {
	if !p.take('(') {
		return nil, p.wrong(`expected "(" and a name`)
	}
	var names []string
	for {
		name, err := p.name()
		if err != nil {
			return nil, err
		}
		names = append(names, name)
		if p.take(')') {
			return names, nil
		}
		if !p.take(',') {
			return nil, p.wrong(`expected "," or ")"`)
		}
	}
}

func (p *parser) name() (string, error) {
	if p.peek() == '"' {
		return p.quoted()
	}
	if word := p.word(); word != "" {
		return word, nil
	}
	return "", p.wrong("expected a name")
}

func (p *parser) quoted() (string, error) {
	literal, err := strconv.QuotedPrefix(p.text[p.at:])
	if err != nil {
		return "", p.wrong("a quoted name that is not a Go string")
	}
	p.at += len(literal)
	return strconv.Unquote(literal)
}

func (p *parser) word() string {
	start := p.at
	for p.at < len(p.text) && wordBytes[p.text[p.at]] {
		p.at++
	}
	return p.text[start:p.at]
}

// take steps over c, if that is what comes next.
func (p *parser) take(c byte) bool {
	if p.peek() != c {
		return false
	}
	p.at++
	return true
}

// peek skips spaces and returns what comes next, or 0 at the end.
func (p *parser) peek() byte {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
	if p.at == len(p.text) {
		return 0
	}
	return p.text[p.at]
}

func (p *parser) wrong(reason string) error { return &PolicyError{p.text, p.at, reason} }
