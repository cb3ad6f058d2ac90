package engine

import "firedrill"

// checked evaluates the step's expectations over its outputs, and makes a call
// whose checks do not hold a failed one. expands tells that sub-steps will
// prove what the step is to prove.
func (m *Machine) checked(st *step, ended firedrill.Ended, scope firedrill.Scope, expands bool) firedrill.Ended {
	if ended.Status != firedrill.StatusOK {
		return ended
	}
	ended.Checks = honest(ended.Checks)
	ended, evaluated := m.expected(ended, st.def, scope)
	if !evaluated {
		return fail(st, ended, firedrill.KindInternal, notEvaluated)
	}
	if st.def.Proves != "" && len(ended.Checks) == 0 && !expands {
		return fail(st, ended, firedrill.KindExpectation, "is to prove "+string(st.def.Proves)+" and compared nothing")
	}
	return judge(st, ended)
}

const notEvaluated = "an expectation was not evaluated"

// expected adds what a step expects of its outputs; evaluated is false where
// something was left out.
func (m *Machine) expected(ended firedrill.Ended, def firedrill.Step, scope firedrill.Scope) (_ firedrill.Ended, evaluated bool) {
	if len(def.Expect) == 0 {
		return ended, true
	}
	checks := m.resolver.Expect(def, scope, ended.Outputs)
	ended.Checks = append(ended.Checks, checks...)
	return ended, len(checks) >= len(def.Expect)
}

// checkedUndo judges the comparisons that an undo made itself and what is
// expected of it.
func (m *Machine) checkedUndo(st *step, ended firedrill.Ended) firedrill.Ended {
	if ended.Status != firedrill.StatusOK {
		return ended
	}
	ended.Checks = honest(ended.Checks)
	undo := firedrill.Step{ID: st.def.ID, Uses: st.def.Undo.Uses, Source: st.def.Source, Expect: st.def.Undo.Expect}
	ended, evaluated := m.expected(ended, undo, m.state.scope())
	if !evaluated {
		return fail(st, ended, firedrill.KindInternal, notEvaluated)
	}
	return judge(st, ended)
}

// honest copies an action's own comparisons; one that compared nothing is not ok.
func honest(checks []firedrill.Check) []firedrill.Check {
	var out []firedrill.Check
	for _, c := range checks {
		if c.OK && c.Expr == "" && c.Compared <= 0 {
			c.OK = false
			c.Detail = firstOf(c.Detail, "a comparison") + ": nothing was compared"
		}
		out = append(out, c)
	}
	return out
}

func judge(st *step, ended firedrill.Ended) firedrill.Ended {
	for _, c := range ended.Checks {
		if c.OK {
			continue
		}
		text := firstOf(c.Detail, "a comparison does not hold")
		if c.Expr != "" {
			text = c.Expr + " does not hold"
			if c.Detail != "" {
				text += ": " + c.Detail
			}
		}
		return fail(st, ended, firedrill.KindExpectation, text)
	}
	return ended
}

func fail(st *step, ended firedrill.Ended, kind firedrill.Kind, detail string) firedrill.Ended {
	ended.Status = firedrill.StatusFailed
	ended.Problem = &firedrill.Problem{Op: st.def.Uses, Kind: kind, Target: "step " + st.def.ID, Detail: detail}
	return ended
}
