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
	if len(st.def.Expect) > 0 {
		checks := m.resolver.Expect(st.def, scope, ended.Outputs)
		ended.Checks = append(ended.Checks, checks...)
		if len(checks) < len(st.def.Expect) {
			return fail(st, ended, firedrill.KindInternal, "an expectation was not evaluated")
		}
	}
	if st.def.Proves != "" && len(ended.Checks) == 0 && !expands {
		return fail(st, ended, firedrill.KindExpectation, "is to prove "+string(st.def.Proves)+" and compared nothing")
	}
	return judge(st, ended)
}

// checkedOwn judges the comparisons that an action made itself.
func (m *Machine) checkedOwn(st *step, ended firedrill.Ended) firedrill.Ended {
	if ended.Status != firedrill.StatusOK {
		return ended
	}
	ended.Checks = honest(ended.Checks)
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
