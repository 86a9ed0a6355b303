package redisregistry

import (
	"time"

	"github.com/theinterneti/tta-gateway/discovery"
)

// SetNow lets tests move the registry's own clock together with a fake
// Redis's.
func (r *Registry) SetNow(now func() time.Time) { r.now = now }

// ParseTime is tested alone: nothing but Records shows what it reads.
var ParseTime = parseTime

// ParseEntry reads an entry as the registry does.
func ParseEntry(raw string) (discovery.Instance, error) {
	rec, err := (&Registry{}).parseRecord("one", raw)
	return rec.Instance, err
}

// Rewrite writes i over an entry and reads it again.
func Rewrite(i discovery.Instance, old string) (discovery.Instance, error) {
	raw, err := render(i, old, time.Now())
	if err != nil {
		return i, err
	}
	rec, err := (&Registry{}).parseRecord(i.ID, raw)
	return rec.Instance, err
}
