package engine

import (
	"fmt"

	"firedrill"
)

// maxDepth bounds nested expansion.
const maxDepth = 4

// validate refuses programs that could not run to an end.
func validate(p firedrill.Program) error {
	if len(p.Steps) == 0 {
		return bad("the program has no steps")
	}
	if p.Environment.Incident != (p.Incident != nil) {
		return bad("only the recovery of an incident may open its environment, and it must")
	}
	if p.Incident != nil {
		for _, s := range p.Steps {
			if s.Phase == firedrill.Inject || s.Phase == firedrill.Detect {
				return bad("step %q is of phase %s, and nobody damages anything in an incident", s.ID, s.Phase)
			}
		}
	}
	return validateSteps(p.Steps, nil)
}

// validateSteps checks ids, phases, needs and circles among steps that are to
// be added to those of existing.
func validateSteps(steps []firedrill.Step, existing map[string]*step) error {
	index := map[string]int{}
	for i, s := range steps {
		_, twice := index[s.ID]
		if twice || existing[s.ID] != nil || s.ID == "" {
			return bad("step id %q is empty or taken", s.ID)
		}
		if s.Phase.Index() < 0 {
			return bad("step %q is in phase %q, which does not exist", s.ID, s.Phase)
		}
		index[s.ID] = i
	}
	for _, s := range steps {
		for _, d := range s.Discharges {
			if _, here := index[d]; !here && existing[d] == nil {
				return bad("step %q discharges %q, which does not exist", s.ID, d)
			}
		}
	}
	return validateNeeds(steps, index, existing)
}

func bad(format string, args ...any) error {
	return &firedrill.Error{Op: "check the program", Kind: firedrill.KindUsage, Detail: fmt.Sprintf(format, args...)}
}

func validateNeeds(steps []firedrill.Step, index map[string]int, existing map[string]*step) error {
	waits := make([]int, len(steps))
	freed := map[string][]int{}
	var free []int
	for i, s := range steps {
		for _, n := range s.Needs {
			var phase firedrill.Phase
			if j, here := index[n]; here {
				phase = steps[j].Phase
				waits[i]++
				freed[n] = append(freed[n], i)
			} else if st := existing[n]; st != nil {
				phase = st.def.Phase
			} else {
				return bad("step %q needs %q, which does not exist", s.ID, n)
			}
			if phase.Index() > s.Phase.Index() {
				return bad("step %q needs %q of a later phase", s.ID, n)
			}
		}
		if waits[i] == 0 {
			free = append(free, i)
		}
	}
	done := 0
	for ; len(free) > 0; done++ {
		i := free[0]
		free = free[1:]
		for _, d := range freed[steps[i].ID] {
			if waits[d]--; waits[d] == 0 {
				free = append(free, d)
			}
		}
	}
	if done < len(steps) {
		return bad("steps need each other in a circle")
	}
	return nil
}
