package plan

import (
	"encoding/json"
	"errors"
	"reflect"

	"firedrill"
	"firedrill/internal/schedule"
)

// bounds reads when an environment may be drilled, and how much of it may be
// damaged.
func (b *builder) bounds(n *node, env *firedrill.Environment) {
	before, at := len(b.errs), n
	if w := n.get("window"); w != nil {
		at, env.Window = w, &firedrill.Window{}
		b.into(w, env.Window, "window")
	}
	if f := n.get("freeze"); f != nil {
		at = f
		b.into(f, &env.Freeze, "freeze")
	}
	if l := n.get("limits"); l != nil {
		env.Limits = b.limits(l)
	}
	if len(b.errs) > before {
		return
	}
	if e := (*firedrill.Error)(nil); errors.As(schedule.Check(*env), &e) {
		b.fail(at.pos, e.Detail, e.Remedy)
	}
}

// limits reads caps. A cap of nothing is no drill.
func (b *builder) limits(n *node) firedrill.Limits {
	var l firedrill.Limits
	b.into(n, &l, "limits")
	b.warnLimits(n)
	for _, p := range n.pairs {
		if x, is := p.value.value.(int64); is && x < 1 {
			b.fail(p.value.pos, p.key+" must be at least 1", "leave it out where nothing is capped")
		}
	}
	return l
}

// into reads a node into a declared type; what does not fit is noted.
func (b *builder) into(n *node, out any, what string) {
	before := len(b.errs)
	v := b.typed(n, reflect.TypeOf(out).Elem(), what)
	if len(b.errs) > before {
		return
	}
	data, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(data, out)
	}
	if err != nil {
		b.fail(n.pos, what+": "+err.Error(), "")
	}
}
