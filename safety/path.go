package safety

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxPaths is how many paths one list may have: one bit each in a walker's mask.
const maxPaths = 64

// paths is a compiled list of field paths. A nil *paths matches every string.
//
// Each segment consumes one level of nesting, so the set of paths that agree
// with the way down to a value is one machine word.
type paths struct {
	segments [][]string // one list of segments for each path
}

const (
	anyKey     = "*"
	anyElement = "[]"
)

// CheckPath returns what is wrong with a field path, or nil.
//
// A path is a list of member names with dots between them: "content.text".
// "*" stands for any member of an object, and "[]" after a name, or alone, for
// any element of an array: "goals[].description", "[].text". A path that ends
// at an object or array means every string in it. Names are compared without
// regard to letter case, because some services read them so. A name that itself
// holds a dot or a bracket cannot be written: use "*" for it.
func CheckPath(path string) error {
	_, err := parsePath(path)
	return err
}

func parsePath(path string) ([]string, error) {
	var segments []string
	for _, part := range strings.Split(path, ".") {
		name, elements, err := cutElements(part)
		if err != nil {
			return nil, fmt.Errorf("safety: field path %q: %w", path, err)
		}
		if name != "" {
			segments = append(segments, name)
		}
		for range elements {
			segments = append(segments, anyElement)
		}
	}
	if len(segments) > maxDepth {
		return nil, fmt.Errorf("safety: field path %q has %d levels: at most %d are read", path, len(segments), maxDepth)
	}
	return segments, nil
}

// cutElements cuts the trailing "[]" off a part and counts them.
func cutElements(part string) (name string, elements int, err error) {
	name = part
	for strings.HasSuffix(name, anyElement) {
		name, elements = strings.TrimSuffix(name, anyElement), elements+1
	}
	switch {
	case name == "" && elements == 0:
		return "", 0, errors.New("an empty name: write the names with one dot between them")
	case strings.ContainsAny(name, "[]"):
		return "", 0, fmt.Errorf("%q: only [] may stand in brackets, and only after a name", part)
	case name != anyKey && strings.Contains(name, anyKey):
		return "", 0, fmt.Errorf("%q: * stands for a whole name, not a part of one", part)
	}
	return name, elements, nil
}

// compilePaths compiles a list. nil and, with an error, a bad list mean every string.
func compilePaths(list []string) (*paths, error) {
	if list == nil {
		return nil, nil
	}
	if len(list) > maxPaths {
		return nil, fmt.Errorf("safety: %d field paths: at most %d, shorten them with * or []", len(list), maxPaths)
	}
	p := &paths{segments: make([][]string, 0, len(list))}
	var errs []error
	for _, path := range list {
		segments, err := parsePath(path)
		errs = append(errs, err)
		p.segments = append(p.segments, segments)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return p, nil
}

// all is the mask of a document's root: every path is still possible.
func (p *paths) all() uint64 {
	if len(p.segments) == maxPaths {
		return ^uint64(0)
	}
	return 1<<len(p.segments) - 1
}

// some reports whether there is a path at all.
func (p *paths) some() bool { return p != nil && len(p.segments) > 0 }

// member narrows mask, the paths possible at depth, to those that go on through
// the member called key; hit says that one of them ends there.
func (p *paths) member(mask uint64, depth int, key []byte) (next uint64, hit bool) {
	return p.step(mask, depth, func(segment string) bool {
		return segment == anyKey || segment != anyElement && foldEqual(key, segment)
	})
}

// element is member for the elements of an array.
func (p *paths) element(mask uint64, depth int) (next uint64, hit bool) {
	return p.step(mask, depth, func(segment string) bool { return segment == anyElement })
}

func (p *paths) step(mask uint64, depth int, matches func(string) bool) (next uint64, hit bool) {
	for i, segments := range p.segments {
		if mask&(1<<i) == 0 || len(segments) <= depth || !matches(segments[depth]) {
			continue
		}
		next |= 1 << i
		hit = hit || len(segments) == depth+1
	}
	return next, hit
}

// named reports whether a flat list of names and values, such as a form, has
// its text under key: some path is that one name, or any.
func (p *paths) named(key []byte) bool {
	_, hit := p.member(p.all(), 0, key)
	return hit
}

func foldEqual(key []byte, name string) bool {
	if len(key) != len(name) && isASCII(key) {
		return false
	}
	return string(key) == name || strings.EqualFold(string(key), name)
}

func isASCII(text []byte) bool {
	for _, c := range text {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
