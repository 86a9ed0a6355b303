package demo

import (
	"crypto/rand"
	"sync"
	"time"
)

// Options are the choices a demo world leaves open. The zero Options are careful and complete.
type Options struct {
	// Accounts are the people who can log in. Nil means one player, one therapist and one
	// administrator, each with a fresh random password.
	Accounts []Account
	// MaxRecords is the most of each kind of record (accounts, players, characters, sessions, noted
	// deliveries) that is kept. The oldest sessions, players, characters and deliveries make room for
	// new ones; further accounts are refused. 0 means 500.
	MaxRecords int
	// MaxSockets is the most chat sockets that one instance holds; the next is closed with 1013. 0 means 256.
	MaxSockets int
	// MaxBody is the largest request body or chat message in bytes. 0 means 64 KiB.
	MaxBody int64
	// Calls is the most requests per minute that an instance takes from one network peer, as the real
	// service does (100): behind a gateway all players together are one peer, unless the gateway is on
	// the same machine and names them in X-Forwarded-For. 0 means no limit.
	Calls int
	// Lifetime is how long access tokens are good. 0 means 30 minutes.
	Lifetime time.Duration
	// Pace is the pause between the pieces of a streamed scene. 0 means none.
	Pace time.Duration
}

// World is everything that the instances of the demo service share: accounts, players, characters,
// sessions and messages, all in memory and all bounded. Make it with [New]; it is safe for simultaneous
// use and must not be copied.
type World struct {
	options Options
	tokens  tokens
	seeded  []Account
	pepper  []byte

	mu         sync.Mutex // guards the fields below
	users      *shelf[user]
	logins     *shelf[login]
	events     []securityEvent
	players    *shelf[player]
	characters *shelf[character]
	sessions   *shelf[session]
}

// New returns a world whose tokens are signed with secret (HS256), the same that the gateway verifies with.
func New(secret []byte, o Options) *World {
	o = o.withDefaults()
	w := &World{
		options:    o,
		tokens:     tokens{secret: append([]byte(nil), secret...), life: o.Lifetime},
		seeded:     o.Accounts,
		pepper:     []byte(rand.Text()),
		users:      newShelf[user](o.MaxRecords + len(o.Accounts)),
		logins:     newShelf[login](o.MaxRecords),
		players:    newShelf[player](o.MaxRecords),
		characters: newShelf[character](o.MaxRecords),
		sessions:   newShelf[session](o.MaxRecords),
	}
	for _, a := range w.seeded {
		w.addUser(a)
	}
	return w
}

// Accounts returns the people who could log in from the start, passwords included: the demo prints them.
func (w *World) Accounts() []Account { return append([]Account(nil), w.seeded...) }

func (o Options) withDefaults() Options {
	o.MaxRecords = orDefault(o.MaxRecords, 500)
	o.MaxSockets = orDefault(o.MaxSockets, 256)
	o.MaxBody = orDefault(o.MaxBody, 64<<10)
	o.Lifetime = orDefault(o.Lifetime, defaultLife)
	if o.Accounts == nil {
		o.Accounts = someAccounts()
	}
	return o
}

func orDefault[N int | int64 | time.Duration](n, otherwise N) N {
	if n > 0 {
		return n
	}
	return otherwise
}

// shelf keeps the newest max records by id. The caller holds the world's lock.
type shelf[T any] struct {
	max   int
	byID  map[string]*T
	order []string
}

func newShelf[T any](most int) *shelf[T] { return &shelf[T]{max: most, byID: map[string]*T{}} }

func (s *shelf[T]) get(id string) *T { return s.byID[id] }
func (s *shelf[T]) full() bool       { return len(s.byID) >= s.max }

func (s *shelf[T]) put(id string, record *T) {
	if s.byID[id] == nil {
		s.order = append(s.order, id)
	}
	s.byID[id] = record
	for len(s.byID) > s.max {
		delete(s.byID, s.order[0])
		s.order = s.order[1:]
	}
}

func (s *shelf[T]) remove(id string) {
	if s.byID[id] == nil {
		return
	}
	delete(s.byID, id)
	for i, kept := range s.order {
		if kept == id {
			s.order = append(s.order[:i:i], s.order[i+1:]...)
			return
		}
	}
}

// all lists the records that keep says yes to, oldest first.
func (s *shelf[T]) all(keep func(*T) bool) []*T {
	found := []*T{}
	for _, id := range s.order {
		if record := s.byID[id]; keep(record) {
			found = append(found, record)
		}
	}
	return found
}
