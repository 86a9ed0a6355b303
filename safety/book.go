package safety

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

//go:embed book/*.json
var builtIn embed.FS

// Book holds what is said to a person in distress, in several languages, and
// where they can turn, by region. It is immutable and safe for simultaneous use.
//
// The zero Book is empty; a [Guard] takes the built-in one in its place.
//
// The built-in book is [DefaultBook]. A clinician should read it before it is
// relied on, and may write another: [ReadBook] reads a directory of the same
// form as this package's book directory.
type Book struct {
	languages map[string]*texts
	resources directory
	version   string
}

// texts is one language of a book, as its file has it.
type texts struct {
	Language string            `json:"language"`
	Version  string            `json:"version"`
	Messages map[string]string `json:"messages"`
	Replies  map[string]string `json:"replies"`
	Words    map[string]string `json:"words"`
}

// directory is a book's resources, as their file has them.
type directory struct {
	Version       string            `json:"version"`
	International []Resource        `json:"international"`
	Regions       map[string]region `json:"regions"`
}

type region struct {
	Emergency Resource   `json:"emergency"`
	Resources []Resource `json:"resources"`
}

const (
	resourcesFile    = "resources.json"
	fallbackLanguage = "en"
	thirdPartyText   = "third_party"
	maxWords         = 60
	maxGeneral       = 3 // resources for everything that one help names
	maxSpecial       = 2 // and those for its categories
)

var (
	messageNames = append(slices.Clone(severityNames[:]), thirdPartyText)
	replyNames   = []string{"replaced", "held", "footer", "unreadable", "failed"}
	wordNames    = []string{"emergency", "emergency_number", "call", "text", "page_title", "page_regions"}
)

// DefaultBook returns the built-in texts, in English and Spanish, and resources
// of some twenty regions. Each resource says when it was last verified, or
// that it is unverified.
func DefaultBook() *Book { return defaultBook() }

var defaultBook = sync.OnceValue(func() *Book {
	files, err := fs.Sub(builtIn, "book")
	if err != nil {
		panic(err) // the embedded directory is there: a test reads it
	}
	b, err := ReadBook(files)
	if err != nil {
		panic(err) // likewise
	}
	return b
})

// ReadBook reads a book from the files at the top of a file system: one
// "<language>.json" for each language, "en.json" among them, and
// "resources.json". Unknown and missing members, unknown placeholders, texts of
// more than 60 words and resources without a way to reach them or without a
// date are errors; all of them are returned, joined.
func ReadBook(files fs.FS) (*Book, error) {
	names, err := fs.Glob(files, "*.json")
	if err != nil {
		return nil, fmt.Errorf("safety: read the book: %w", err)
	}
	b := &Book{languages: make(map[string]*texts)}
	var errs []error
	for _, name := range names {
		errs = append(errs, b.read(files, name))
	}
	errs = append(errs, b.check())
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	b.version = b.languages[fallbackLanguage].Version
	return b, nil
}

func (b *Book) read(files fs.FS, name string) error {
	if name == resourcesFile {
		return readStrictly(files, name, &b.resources)
	}
	var t texts
	if err := readStrictly(files, name, &t); err != nil {
		return err
	}
	if want := strings.TrimSuffix(path.Base(name), ".json"); t.Language != want {
		return fmt.Errorf("safety: book %s: language is %q: want %q, as the file is named", name, t.Language, want)
	}
	b.languages[t.Language] = &t
	return nil
}

func readStrictly(files fs.FS, name string, into any) error {
	data, err := fs.ReadFile(files, name)
	if err != nil {
		return fmt.Errorf("safety: book %s: %w", name, err)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("safety: book %s: %w", name, err)
	}
	if d.More() {
		return fmt.Errorf("safety: book %s: something follows the first value", name)
	}
	return nil
}

func (b *Book) check() error {
	var errs []error
	if b.languages[fallbackLanguage] == nil {
		errs = append(errs, errors.New("safety: book: en.json is missing: it stands in for languages that the book does not have"))
	}
	for _, t := range b.languages {
		errs = append(errs, t.check())
	}
	if len(b.resources.International) == 0 {
		errs = append(errs, errors.New("safety: book resources.json: international is empty: it is for people whose region is not known"))
	}
	for _, r := range b.resources.International {
		errs = append(errs, r.check("international"))
	}
	for name, r := range b.resources.Regions {
		errs = append(errs, r.check(name))
	}
	return errors.Join(errs...)
}

func (t *texts) check() error {
	return errors.Join(
		checkTexts(t.Language, "messages", t.Messages, messageNames, "{emergency}"),
		checkTexts(t.Language, "replies", t.Replies, replyNames, "{line}"),
		checkTexts(t.Language, "words", t.Words, wordNames, "{number}"),
	)
}

func checkTexts(language, part string, have map[string]string, want []string, placeholder string) error {
	var errs []error
	complain := func(name, format string, args ...any) {
		errs = append(errs, fmt.Errorf("safety: book %s.json: %s.%s %s", language, part, name, fmt.Sprintf(format, args...)))
	}
	for _, name := range want {
		if strings.TrimSpace(have[name]) == "" {
			complain(name, "is missing")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if !slices.Contains(want, name) {
			complain(name, "is unknown: want one of %s", strings.Join(want, ", "))
		}
		if n := len(strings.Fields(have[name])); n > maxWords {
			complain(name, "has %d words: at most %d are read by somebody in distress", n, maxWords)
		}
		if rest := strings.ReplaceAll(have[name], placeholder, ""); strings.ContainsAny(rest, "{}") {
			complain(name, "has a placeholder other than %s", placeholder)
		}
	}
	return errors.Join(errs...)
}

func (r region) check(name string) error {
	var errs []error
	if len(name) != 2 || strings.ToUpper(name) != name {
		errs = append(errs, fmt.Errorf("safety: book resources.json: region %q: want two capital letters (ISO 3166)", name))
	}
	if r.Emergency.Phone == "" {
		errs = append(errs, fmt.Errorf("safety: book resources.json: region %s: emergency.phone is missing", name))
	}
	errs = append(errs, r.Emergency.checkDate(name))
	for _, one := range r.Resources {
		errs = append(errs, one.check(name))
	}
	return errors.Join(errs...)
}

func (r Resource) check(where string) error {
	var errs []error
	if r.ID == "" || r.Name == "" {
		errs = append(errs, fmt.Errorf("safety: book resources.json: %s: resource %q: id or name is missing", where, r.ID+r.Name))
	}
	if r.Phone == "" && r.SMS == "" && r.URL == "" {
		errs = append(errs, fmt.Errorf("safety: book resources.json: %s: resource %q: give phone, sms or url", where, r.ID))
	}
	if r.URL != "" && !strings.HasPrefix(r.URL, "https://") {
		errs = append(errs, fmt.Errorf("safety: book resources.json: %s: resource %q: url is %q: want https", where, r.ID, r.URL))
	}
	return errors.Join(append(errs, r.checkDate(where))...)
}

func (r Resource) checkDate(where string) error {
	if r.Unverified && r.VerifiedOn == "" {
		return nil
	}
	if _, err := time.Parse(time.DateOnly, r.VerifiedOn); err != nil || r.Unverified {
		return fmt.Errorf("safety: book resources.json: %s: resource %q: give verified_on as 2026-01-31, or unverified: true", where, r.ID)
	}
	return nil
}

// Languages returns the book's languages, in order.
func (b *Book) Languages() []string { return slices.Sorted(maps.Keys(b.languages)) }

// Regions returns the regions that the book has resources of, in order.
func (b *Book) Regions() []string { return slices.Sorted(maps.Keys(b.resources.Regions)) }

// Resources returns all resources of a region, or the international ones where
// the book has none of it. The caller may change the slice.
func (b *Book) Resources(region string) []Resource {
	if r, known := b.resources.Regions[strings.ToUpper(region)]; known {
		return slices.Clone(r.Resources)
	}
	return slices.Clone(b.resources.International)
}

// Help returns what to give a person: the text for a severity in the first
// language of the list that the book has, English otherwise, and the resources
// of a region, "" if it is not known. languages is a tag or a whole
// Accept-Language. The categories choose the text where somebody else is in
// danger, and resources for just that danger.
func (b *Book) Help(languages, region string, severity Severity, categories ...Category) Help {
	severity = min(max(severity, None), Imminent)
	t, region := b.texts(languages), strings.ToUpper(region)
	place, known := b.resources.Regions[region]
	if !known {
		region, place = "", b.nowhere()
	}
	name := severity.String()
	if severity > None && slices.Contains(categories, ThirdParty) {
		name = thirdPartyText
	}
	return Help{
		Severity: severity, Categories: slices.Clone(categories),
		Language: t.Language, Region: region, Version: t.Version,
		Text:      strings.ReplaceAll(t.Messages[name], "{emergency}", cmpOr(place.Emergency.Phone, t.Words["emergency_number"])),
		Resources: place.choose(t, severity, categories),
		words:     t.Words,
		hotline:   b.hotline(region),
	}
}

func (b *Book) nowhere() region { return region{Resources: b.resources.International} }

func (b *Book) texts(languages string) *texts {
	for _, want := range tagsOf(languages) {
		if t := b.languages[want.primary()]; t != nil {
			return t
		}
	}
	return b.languages[fallbackLanguage]
}

// choose picks a few resources: too many are none. The emergency number stands
// first where it may be needed now, and last otherwise.
func (r region) choose(t *texts, severity Severity, categories []Category) []Resource {
	chosen := r.pick(maxGeneral, func(one Resource) bool { return len(one.Categories) == 0 })
	special := r.pick(maxSpecial, func(one Resource) bool { return one.isFor(categories) })
	if severity < High {
		chosen = append(special, chosen...)
	} else {
		chosen = slices.Insert(chosen, min(1, len(chosen)), special...)
	}
	if r.Emergency.Phone == "" {
		return chosen
	}
	emergency := r.Emergency
	emergency.ID, emergency.Name, emergency.Emergency = "emergency", t.Words["emergency"], true
	if severity >= High {
		return append([]Resource{emergency}, chosen...)
	}
	return append(chosen, emergency)
}

func (r region) pick(most int, wanted func(Resource) bool) (some []Resource) {
	for _, one := range r.Resources {
		if wanted(one) && len(some) < most {
			some = append(some, one)
		}
	}
	return some
}

func (r Resource) isFor(categories []Category) bool {
	for _, c := range r.Categories {
		if slices.Contains(categories, c) {
			return true
		}
	}
	return false
}

// reply returns one of the sentences that stand in or after a service's reply.
func (b *Book) reply(name, languages, region string) string {
	t := b.texts(languages)
	return strings.ReplaceAll(t.Replies[name], "{line}", b.line(t, region))
}

// line is the shortest way to somebody who listens: "988 Lifeline, call 988".
func (b *Book) line(t *texts, region string) string {
	all := b.Resources(region)
	for _, r := range all {
		if r.Phone != "" {
			return r.Name + ", " + strings.ReplaceAll(t.Words["call"], "{number}", r.Phone)
		}
	}
	return strings.TrimPrefix(all[0].URL, "https://")
}

// hotline is a region's number for X-Crisis-Hotline, or where to find one.
func (b *Book) hotline(region string) string { return numberOf(b.Resources(region)) }

// numberOf is the first number among resources, or else the first one's page.
func numberOf(all []Resource) string {
	for _, r := range all {
		if r.Phone != "" {
			return r.Phone
		}
	}
	return strings.TrimPrefix(all[0].URL, "https://")
}
