package safety

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// tag is one language that somebody would like, and how much.
type tag struct {
	name   string // "es-MX", as written
	weight float64
}

// maxTags bounds how much of an Accept-Language is read.
const maxTags = 16

// tagsOf reads an Accept-Language (RFC 9110 section 12.5.4) or a lone tag, the
// most wanted first. What it cannot read it leaves out.
func tagsOf(accept string) (tags []tag) {
	for item := range strings.SplitSeq(accept, ",") {
		name, params, _ := strings.Cut(item, ";")
		t := tag{strings.TrimSpace(name), weightOf(params)}
		if t.name != "" && t.weight > 0 && len(tags) < maxTags {
			tags = append(tags, t)
		}
	}
	slices.SortStableFunc(tags, func(a, b tag) int { return cmp.Compare(b.weight, a.weight) })
	return tags
}

func weightOf(params string) float64 {
	q, found := strings.CutPrefix(strings.TrimSpace(params), "q=")
	if !found {
		return 1
	}
	weight, err := strconv.ParseFloat(q, 64)
	if err != nil || weight > 1 {
		return 0
	}
	return weight
}

// primary is a tag's language without script and region: "es" of "es-Latn-MX".
func (t tag) primary() string {
	name, _, _ := strings.Cut(t.name, "-")
	return strings.ToLower(name)
}

// region is a tag's region (RFC 5646 section 2.2.4), "" without one. Regions by
// number, such as 419 for Latin America, are no places to call.
func (t tag) region() string {
	for i, part := range strings.Split(t.name, "-") {
		if i > 0 && len(part) == 2 {
			return strings.ToUpper(part)
		}
	}
	return ""
}

// regionOf returns the region of the most wanted tag that names one.
func regionOf(accept string) string {
	for _, t := range tagsOf(accept) {
		if region := t.region(); region != "" {
			return region
		}
	}
	return ""
}
