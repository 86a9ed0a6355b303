package demo

import (
	"crypto/rand"
	"strings"
	"sync"
)

// Options are the choices a demo world leaves open. The zero Options are the ones the reference binary uses.
type Options struct {
	// Accounts are the people who can log in. Nil means one player, one therapist and one
	// administrator, each with a fresh random password.
	Accounts []Account
	// MaxRecords is the most of each kind of record (players, characters, sessions, deliveries) that
	// the world keeps. 0 means 1000.
	MaxRecords int
	// MaxSockets is the most chat sockets that one instance holds. 0 means 256.
	MaxSockets int
	// MaxBody is the largest request body or chat message in bytes. 0 means 256 KiB.
	MaxBody int64
	// Calls is the most requests per minute that an instance takes from one network peer, as the real
	// service does by default (100): behind a gateway all players share that peer. 0 means no limit.
	Calls int
}

// Account is one person who can log in.
type Account struct {
	ID       string
	Username string
	Email    string
	Password string
	Role     string // player, therapist, admin, researcher or moderator
}

// World is everything that the instances of the demo service share: accounts, players, characters,
// story worlds, sessions and messages, all in memory and all bounded. Make it with [New]; it is safe
// for simultaneous use and must not be copied.
type World struct {
	secret   []byte
	options  Options
	accounts []Account

	mu sync.Mutex // guards the fields below
}

// New returns a world whose tokens are signed with secret (HS256), the same that the gateway verifies with.
func New(secret []byte, o Options) *World {
	return &World{secret: append([]byte(nil), secret...), options: o.withDefaults(), accounts: o.accounts()}
}

// Accounts returns the people who can log in, passwords included: the demo prints them.
func (w *World) Accounts() []Account { return append([]Account(nil), w.accounts...) }

func (o Options) withDefaults() Options {
	o.MaxRecords = orDefault(o.MaxRecords, 1000)
	o.MaxSockets = orDefault(o.MaxSockets, 256)
	o.MaxBody = orDefault(o.MaxBody, 256<<10)
	return o
}

func (o Options) accounts() []Account {
	if o.Accounts != nil {
		return append([]Account(nil), o.Accounts...)
	}
	return []Account{
		{ID: "demo-player-001", Username: "mira", Email: "mira@example.org", Password: password(), Role: "player"},
		{ID: "demo-therapist-001", Username: "tomas", Email: "tomas@example.org", Password: password(), Role: "therapist"},
		{ID: "demo-admin-001", Username: "ada", Email: "ada@example.org", Password: password(), Role: "admin"},
	}
}

func password() string { return strings.ToLower(rand.Text()[:12]) }

func orDefault[N int | int64](n, otherwise N) N {
	if n > 0 {
		return n
	}
	return otherwise
}
