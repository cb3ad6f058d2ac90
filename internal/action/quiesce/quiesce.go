// Package quiesce brings the actions that stop and restart the writers of an
// environment, in the place of a drill where it compares data. What stops them
// are the plan's own steps: quiesce.pause and quiesce.resume ask for them as
// sub-steps, so that they are recorded like any other.
//
// Whatever becomes of a run, the writers are restarted: before the first step of
// pause begins, each step of resume is recorded as an undo. These undos wait
// until all else was undone and looked at, because writers that begin any sooner
// would change what is looked at. Whether anybody really stopped and began again
// is for others to watch.
package quiesce

import (
	"context"
	"fmt"
	"slices"

	"firedrill"
	"firedrill/internal/action"
)

// The names of the actions.
const (
	namePause   = "quiesce.pause"
	nameResume  = "quiesce.resume"
	namePromise = "quiesce.promise"
)

// Pack gives the actions quiesce.*.
func Pack() action.Pack {
	return action.Pack{Actions: []firedrill.Action{pause(), resume(), promise()}}
}

type none struct{}

type in struct {
	Unwatched string `json:"unwatched,omitempty" doc:"why nobody watches whether the writers stop and go on; stands in the result"`
}

type out struct {
	Steps int64 `json:"steps" doc:"steps of the plan that follow"`
}

func pause() firedrill.Action {
	return action.Typed(firedrill.Spec{Name: namePause, Impact: firedrill.Reads, Replay: firedrill.Idempotent,
		Doc: "Stop the environment's writers by the steps that its plan gives under quiesce.pause. The steps under quiesce.resume are their undo, recorded before the first of them begins. Whether anybody stopped writing is for d1.await-still or kv.await-still to tell."},
		func(_ context.Context, call firedrill.Call, in in) (action.Result[out], error) {
			q, err := steps(namePause, call)
			if err != nil {
				return action.Result[out]{}, err
			}
			res := action.Result[out]{Out: out{int64(len(q.Pause))}, Steps: pauseSteps(q)}
			if in.Unwatched != "" {
				res.Collateral = []string{"it was not watched whether the writers stopped and went on: " + in.Unwatched}
			}
			return res, nil
		})
}

func resume() firedrill.Action {
	return action.Typed(firedrill.Spec{Name: nameResume, Impact: firedrill.Reads, Replay: firedrill.Idempotent,
		Doc: "Restart the environment's writers by the steps that its plan gives under quiesce.resume. Whether anybody writes again is for d1.await-writes or kv.await-writes to tell; that step then discharges the undo of quiesce.pause."},
		func(_ context.Context, call firedrill.Call, _ none) (action.Result[out], error) {
			q, err := steps(nameResume, call)
			if err != nil {
				return action.Result[out]{}, err
			}
			return action.Result[out]{Out: out{int64(len(q.Resume))}, Steps: inOrder(q.Resume)}, nil
		})
}

func promise() firedrill.Action {
	return action.Typed(firedrill.Spec{Name: namePromise, Impact: firedrill.Reads, Replay: firedrill.Idempotent,
		Doc: "Do nothing. quiesce.pause uses it to have the steps that restart the writers recorded as undos before it stops them."},
		func(context.Context, firedrill.Call, none) (action.Result[none], error) {
			return action.Result[none]{}, nil
		})
}

func steps(op string, call firedrill.Call) (firedrill.Quiesce, error) {
	if !call.Environment.Quiesces() {
		return firedrill.Quiesce{}, &firedrill.Error{Op: op, Kind: firedrill.KindUsage, Target: "environment " + call.Environment.Name,
			Detail: "the plan does not say how its writers are stopped", Remedy: "add quiesce: {pause: […], resume: […]} to the environment, or make the step conditional: when: environment.quiesces"}
	}
	return call.Environment.Quiesce, nil
}

// pauseSteps are a promise for each step of resume, then the steps of pause.
// Undo goes backwards, so the last step of resume is promised first. A step of
// pause has an undo too, which does nothing: the promises speak for it.
func pauseSteps(q firedrill.Quiesce) []firedrill.Step {
	var all []firedrill.Step
	for _, r := range slices.Backward(q.Resume) {
		all = append(all, firedrill.Step{ID: "promise-" + r.ID, Title: text(r), Uses: namePromise, When: r.When, Source: r.Source,
			Undo: &firedrill.Undo{Uses: r.Uses, With: r.With, Expect: r.Expect, Last: true}})
	}
	for _, p := range q.Pause {
		p.Undo = &firedrill.Undo{Uses: namePromise, Last: true}
		all = append(all, p)
	}
	return inOrder(all)
}

// inOrder makes each step need the one before it.
func inOrder(list []firedrill.Step) []firedrill.Step {
	chain := slices.Clone(list)
	for i := range chain {
		if i > 0 {
			chain[i].Needs = []string{chain[i-1].ID}
		}
	}
	return chain
}

// text is what a person reads of a promised step.
func text(s firedrill.Step) string {
	by := s.Title
	if by == "" {
		by = s.Uses
	}
	return fmt.Sprintf("writers, who go on by %q", by)
}
