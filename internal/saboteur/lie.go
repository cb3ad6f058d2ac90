// Package saboteur is the cloud that lies. A [Lie] is one way in which a
// platform can be wrong and say that all is well; a [Stage] tells it: it stands
// between firedrill and an API, and between firedrill's probes and the service
// behind that API, lets the truth pass, and puts the lie in its place where the
// lie's script says so. Some lies are told in answers. Others are made true: the
// stage spoils what is behind with calls of its own, so that every honest way of
// reading shows it.
//
// A drill that ends in passed while a lie was told was fooled. So that nobody
// mistakes silence for success, a stage counts how often its lie was really told,
// and keeps what went wrong in the telling: a lie that was never told is no proof
// of anything.
//
// It is used by tests and by `firedrill selftest`. It knows no platform; the lies
// of one stand in a package of their own below.
package saboteur

import (
	"context"
	"slices"

	"firedrill"
)

// Lie is one way in which a cloud can be wrong.
type Lie struct {
	Name     string
	Sentence string
	// Tells holds how it is told in each drill that it can touch.
	Tells map[string]Telling
}

// Telling is how a lie is told in one drill.
type Telling struct {
	Tell Tell
	// With overrides inputs of the drill, where the lie needs something to bite on.
	With firedrill.Values
	// Needs names what the lie's world must have beyond what all have.
	Needs []string
}

// Drills names the drills that it can touch, in order.
func (l Lie) Drills() []string {
	names := make([]string, 0, len(l.Tells))
	for name := range l.Tells {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Tell prepares a lie for one run, when the service is in place and the drill has
// not begun, and gives the script of that run.
type Tell func(ctx context.Context, s *Stage) (Script, error)

// Script is how a lie is told during one run. What is nil is the truth.
type Script struct {
	API   Hook // between firedrill and the API
	Front Hook // between firedrill's probes and the service
	// Clock makes of the true time what firedrill is told.
	Clock func(firedrill.Stamp) firedrill.Stamp
}

// Hook answers a request: with the truth, which [Exchange.Forward] gives, with
// something made of it, or with something of its own. It is called for several
// requests at a time. An error is one of the saboteur's own; the request fails.
type Hook func(ctx context.Context, x *Exchange) (*Answer, error)
