package faultproxy

import (
	"cmp"
	"math/rand/v2"
	"net/http"
	"time"
)

// Kind is a way in which a call can go wrong.
type Kind string

// The kinds of faults. Two questions matter: whether the request took effect,
// and what the client gets to see of it.
const (
	Pass     Kind = "pass"      // took effect; the answer as it is
	Refuse   Kind = "refuse"    // no effect; the connection is closed before the request is read through
	Stall    Kind = "stall"     // no effect; no answer until the client gives up or Wait is over, then the connection is closed
	Fail     Kind = "fail"      // no effect; Status and a line of text
	Limit    Kind = "limit"     // no effect; 429 with Retry-After
	Deny     Kind = "deny"      // no effect; 200 and an envelope that says that it failed
	Page     Kind = "page"      // no effect; 200 and a web page
	Garbage  Kind = "garbage"   // no effect; 200 and bytes that mean nothing
	Lose     Kind = "lose"      // took effect; the connection is closed instead of an answer
	Cut      Kind = "cut"       // took effect; the answer breaks off in the middle of its body
	Drip     Kind = "drip"      // took effect; the answer, byte by byte or, if it is long, in a thousand pieces
	FailLate Kind = "fail-late" // took effect; Status and a line of text
	DenyLate Kind = "deny-late" // took effect; 200 and an envelope that says that it failed
	PageLate Kind = "page-late" // took effect; 200 and a web page
)

// Kinds are all kinds of faults, and passing.
func Kinds() []Kind {
	return []Kind{Pass, Refuse, Stall, Fail, Limit, Deny, Page, Garbage, Lose, Cut, Drip, FailLate, DenyLate, PageLate}
}

// TakesEffect tells whether a request with this fault reaches the other side.
func (k Kind) TakesEffect() bool {
	switch k {
	case Refuse, Stall, Fail, Limit, Deny, Page, Garbage:
		return false
	}
	return true
}

// Fault is what happens to one request. The zero value lets it pass.
type Fault struct {
	Kind   Kind
	Status int // of Fail and FailLate; 0: 500
	// Wait is how long Stall waits at most (0: until the client gives up), what
	// Limit says in Retry-After (in whole seconds), and the pause of Drip between
	// two pieces.
	Wait time.Duration
}

func (f Fault) kind() Kind  { return cmp.Or(f.Kind, Pass) }
func (f Fault) status() int { return cmp.Or(f.Status, http.StatusInternalServerError) }

// Script decides what happens to the n-th request, counted from 1. It is called
// for one request at a time.
type Script func(n int, r *http.Request) Fault

// Always does the same to every request.
func Always(f Fault) Script { return func(int, *http.Request) Fault { return f } }

// Nth does it to one request, and lets the others pass.
func Nth(n int, f Fault) Script {
	return func(at int, _ *http.Request) Fault {
		if at == n {
			return f
		}
		return Fault{}
	}
}

// Random does something by chance to a share of the requests, one of the faults
// given, and lets the others pass. The same seed gives the same faults for the
// same number of requests. Without faults to choose from it takes all that end
// by themselves and at once.
func Random(seed uint64, share float64, faults ...Fault) Script {
	if len(faults) == 0 {
		for _, k := range Kinds() {
			if k != Pass && k != Stall {
				faults = append(faults, Fault{Kind: k})
			}
		}
		for _, status := range []int{http.StatusBadGateway, http.StatusServiceUnavailable} {
			faults = append(faults, Fault{Kind: Fail, Status: status}, Fault{Kind: FailLate, Status: status})
		}
	}
	chance := rand.New(rand.NewPCG(seed, 0)) // not for secrets
	return func(int, *http.Request) Fault {
		hit, which := chance.Float64() < share, chance.IntN(len(faults)) // always both, so that a seed means one plan
		if !hit {
			return Fault{}
		}
		return faults[which]
	}
}
