package isolation

import (
	"slices"

	"firedrill"
)

// Account is what an account of the platform holds, as its API told. It is read
// elsewhere; here it is only held against what the files say.
type Account struct {
	ID string
	// Environments are those of plans that name the account, and At is where one
	// of them does: findings stand there that no file is about.
	Environments []string
	At           firedrill.Position
	Held         []Held
	// Listed are the kinds of which everything is in Held: what is not there does
	// not exist.
	Listed    []string
	Workers   []Deployed
	Addresses []Address
	Unseen    []Unseen
}

// Held is a resource that exists.
type Held struct {
	Kind string // as in a plan: d1, kv; and r2, queue
	ID   string // "" where the platform knows it by its name alone
	Name string
}

// Deployed is a Worker as it serves.
type Deployed struct {
	Name string
	// Read is set where its bindings were read; those of all versions that serve.
	Read     bool
	Bindings []Binding
	Consumes []string // queues
}

// Binding is a binding in the form of the API, which is also the form in which
// `unsafe.bindings` of a configuration stand.
type Binding struct {
	Name, Type string
	// Fields are the others. What secrets hold is never among them.
	Fields map[string]any
}

// Address is a route or a custom domain, and the Worker that answers there.
type Address struct {
	Pattern string
	Domain  bool   // custom: all paths, and no wildcards
	Zone    string // its name
	Worker  string
}

// Unseen is what could not be looked at.
type Unseen struct {
	What string // in a sentence: "queues"
	Why  string
	// Grave is set where the account cannot be judged without it.
	Grave bool
}

// Seen is the sum of what was looked at in an account.
type Seen struct {
	Account      string         `json:"account"`
	Environments []string       `json:"environments"`
	Held         map[string]int `json:"held"` // how many of each kind that could be listed
	NotLookedAt  []string       `json:"not_looked_at"`
}

func (acc Account) seen() Seen {
	s := Seen{Account: acc.ID, Environments: acc.Environments, Held: map[string]int{}, NotLookedAt: []string{}}
	for _, kind := range acc.Listed {
		s.Held[kind] = 0
	}
	for _, h := range acc.Held {
		s.Held[h.Kind]++
	}
	if slices.Contains(acc.Listed, kindWorker) {
		s.Held[kindWorker] = len(acc.Workers)
	}
	for _, u := range acc.Unseen {
		s.NotLookedAt = append(s.NotLookedAt, u.What)
	}
	return s
}

// has tells whether an account holds what a reference names. known is false
// where it cannot be told.
func (acc Account) has(r reference) (h Held, has, known bool) {
	if r.scope != "" || r.placeholder || !slices.Contains(acc.Listed, r.kind) {
		return Held{}, false, false // a jurisdiction has names of its own
	}
	for _, h := range acc.Held {
		if r.id != "" && sameID(h.ID, r.id) || r.id == "" && h.Name == r.name {
			return h, true, true
		}
	}
	return Held{}, false, true
}
