package plan

import (
	"fmt"

	"firedrill"
	"firedrill/internal/expr"
)

// quiesce reads the steps that stop and restart an environment's writers. They
// run in the order of the file, in the place that a drill gives them, so they
// have no phase, no needs and no undo: what restarts the writers is the undo of
// what stops them.
func (b *builder) quiesce(n *node) firedrill.Quiesce {
	if b.fields(n, "quiesce", "pause", "resume") == nil {
		return firedrill.Quiesce{}
	}
	list := func(key, missing string) []firedrill.Step {
		steps := n.get(key)
		if steps == nil {
			b.fail(n.pos, fmt.Sprintf("quiesce needs %q", key), missing)
			return nil
		}
		if steps.kind != isList || len(steps.items) == 0 {
			b.fail(steps.pos, key+" must be a list with at least one step", "")
			return nil
		}
		var out []firedrill.Step
		for i, x := range steps.items {
			if s, ok := b.quiesceStep(x, fmt.Sprintf("%s-%d", key, i+1)); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return firedrill.Quiesce{
		Pause:  list("pause", "say how the writers are stopped"),
		Resume: list("resume", "say how the writers are restarted; what only stops them leaves them stopped"),
	}
}

func (b *builder) quiesceStep(n *node, id string) (firedrill.Step, bool) {
	if b.fields(n, "a step of quiesce", "title", "uses", "with", "when", "expect", "timeout", "retry") == nil {
		return firedrill.Step{}, false
	}
	before := len(b.errs)
	s := firedrill.Step{Source: n.pos, ID: id, Title: b.text(n.get("title"), "title"), Uses: b.required(n, "uses", "a step of quiesce"),
		With: b.with(n.get("with")), When: b.text(n.get("when"), "when"), Expect: b.texts(n.get("expect"), "expect"),
		Timeout: b.duration(n.get("timeout"), "timeout"), Retry: b.retry(n.get("retry"))}
	return s, len(b.errs) == before
}

// checkQuiesce checks the steps against the catalog. They belong to the
// environment and not to a drill: they see its resources, and neither inputs nor
// other steps.
func (b *builder) checkQuiesce(env firedrill.Environment) {
	c := &linker{catalog: b.catalog, program: &firedrill.Program{Environment: env}, inputs: map[string]expr.Type{}, ids: map[string]int{}}
	for _, list := range [][]firedrill.Step{env.Quiesce.Pause, env.Quiesce.Resume} {
		for _, s := range list {
			c.step(&s)
			switch spec, ok := b.catalog.Action(s.Uses); {
			case !ok: // said already
			case spec.Impact == firedrill.Damages:
				c.fail(s, spec.Name+" damages", "stop writers in a way that loses nothing")
			case spec.Observer:
				c.fail(s, spec.Name+" goes on after its step", "use an action that is over when its step is")
			}
		}
	}
	b.errs = append(b.errs, c.errs...)
}
