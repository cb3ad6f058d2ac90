package runner

import (
	"sync/atomic"

	"firedrill"
)

// injection is the moment when the first injection of a run was sent, for
// actions and observers to ask at any time. In an incident it is the moment when
// the recovery began: nothing that was answered before it shows anything.
type injection struct {
	phases map[string]firedrill.Phase // of the steps; only the loop touches it
	// damaged are the resources that injections claim, those about to be sent
	// included; only the loop touches it.
	damaged map[string]bool
	at      atomic.Pointer[firedrill.Stamp]
}

// note takes records into account, those of an earlier process too.
func (i *injection) note(records []firedrill.Record) {
	know := func(steps []firedrill.Step) {
		for _, s := range steps {
			i.phases[s.ID] = s.Phase
		}
	}
	for _, r := range records {
		switch b := r.Body.(type) {
		case firedrill.RunStarted:
			know(b.Program.Steps)
			if b.Program.Incident != nil { // what was damaged was damaged before
				i.at.CompareAndSwap(nil, &r.At)
			}
		case firedrill.Expanded:
			know(b.Steps)
		case firedrill.Intended:
			if b.Role == firedrill.RoleDo && b.Resolved.Impact == firedrill.Damages {
				for _, c := range b.Resolved.Claims {
					if c.Write {
						i.damaged[c.Resource] = true
					}
				}
			}
			if b.Role == firedrill.RoleDo && b.Resolved.Impact == firedrill.Damages && i.phases[b.Step] == firedrill.Inject {
				i.at.CompareAndSwap(nil, &r.At)
			}
		}
	}
}

// sent gives the moment; ok is false before it.
func (i *injection) sent() (at firedrill.Stamp, ok bool) {
	if p := i.at.Load(); p != nil {
		return *p, true
	}
	return firedrill.Stamp{}, false
}
