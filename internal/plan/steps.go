package plan

import (
	"fmt"
	"regexp"

	"firedrill"
)

// stepID: sub-steps get a slash and a name of their own later.
var stepID = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// steps reads a list of steps. What they mean is checked when a drill is
// instantiated, because that needs its environment and inputs.
func (b *builder) steps(n *node) []firedrill.Step {
	if n.kind != isList || len(n.items) == 0 {
		b.fail(n.pos, "steps must be a list with at least one step", "")
		return nil
	}
	var steps []firedrill.Step
	for _, x := range n.items {
		if s, ok := b.step(x); ok {
			steps = append(steps, s)
		}
	}
	return steps
}

func (b *builder) step(n *node) (firedrill.Step, bool) {
	if b.fields(n, "a step", "id", "phase", "title", "uses", "with", "when", "expect", "proves", "needs", "undo", "discharges", "look", "timeout", "retry") == nil {
		return firedrill.Step{}, false
	}
	before := len(b.errs)
	s := firedrill.Step{Source: n.pos, ID: b.required(n, "id", "a step"), Title: b.text(n.get("title"), "title"),
		Uses: b.required(n, "uses", "a step"), When: b.text(n.get("when"), "when"), Expect: b.texts(n.get("expect"), "expect"),
		Needs: b.texts(n.get("needs"), "needs"), Discharges: b.texts(n.get("discharges"), "discharges"),
		Look: b.boolean(n.get("look"), "look"), Timeout: b.duration(n.get("timeout"), "timeout")}
	if !stepID.MatchString(s.ID) && s.ID != "" {
		b.fail(n.get("id").pos, fmt.Sprintf("step id %q is no name", s.ID), "use small letters, digits and single dashes")
	}
	s.Phase = firedrill.Phase(b.required(n, "phase", "step "+s.ID))
	if p := n.get("phase"); p != nil && s.Phase.Index() < 0 {
		b.fail(p.pos, fmt.Sprintf("there is no phase %q", s.Phase), nearest(string(s.Phase), texts(firedrill.Phases())))
	}
	s.Proves = firedrill.Proof(b.text(n.get("proves"), "proves"))
	if p := n.get("proves"); p != nil && !contains(firedrill.Proofs(), s.Proves) {
		b.fail(p.pos, fmt.Sprintf("there is no proof %q", s.Proves), nearest(string(s.Proves), texts(firedrill.Proofs())))
	}
	s.With = b.with(n.get("with"))
	if u := n.get("undo"); u != nil && b.fields(u, "undo", "uses", "with", "expect", "last") != nil {
		s.Undo = &firedrill.Undo{Uses: b.required(u, "uses", "undo"), With: b.with(u.get("with")),
			Expect: b.texts(u.get("expect"), "expect"), Last: b.boolean(u.get("last"), "last")}
	}
	s.Retry = b.retry(n.get("retry"))
	return s, len(b.errs) == before
}

func (b *builder) retry(n *node) int {
	if n == nil {
		return 0
	}
	v, ok := n.value.(int64)
	if !ok || v < 0 || v > 20 {
		b.fail(n.pos, "retry must be a number from 0 to 20", "")
	}
	return int(v)
}

func (b *builder) with(n *node) firedrill.Values {
	if n == nil {
		return nil
	}
	if n.kind != isMap {
		b.fail(n.pos, fmt.Sprintf("with must be a mapping from inputs to values, this is %s", n.kind), "")
		return nil
	}
	return asValues(n.plain())
}

func texts[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, x := range list {
		out[i] = string(x)
	}
	return out
}

func contains[T comparable](list []T, x T) bool {
	for _, y := range list {
		if x == y {
			return true
		}
	}
	return false
}
