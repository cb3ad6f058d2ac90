// Package action turns typed Go functions into actions that a drill can use,
// and keeps them in an explicit registry.
//
// An action is a pair of structs and a function. The structs' fields are the
// inputs and outputs by their json tag; the tag `doc:"…"` says what they mean;
// a field without omitempty is required. Schema, reference, completion and
// the types of expressions derive from them, so there is nothing else to write.
//
//	type restoreIn struct {
//		Database string `json:"database" doc:"id of the database"`
//		Bookmark string `json:"bookmark" doc:"point to return to"`
//	}
package action

import (
	"context"
	"fmt"
	"reflect"

	"firedrill"
)

// Result is what a typed action gives back; see [firedrill.Outcome] for the
// fields that are not the outputs.
type Result[Out any] struct {
	Out         Out
	Summary     string
	Checks      []firedrill.Check
	Collateral  []string
	Notes       []string
	Steps       []firedrill.Step
	Observation *firedrill.Observation
}

// Func performs a typed action.
type Func[In, Out any] func(ctx context.Context, call firedrill.Call, in In) (Result[Out], error)

// DoneFunc answers whether an interrupted call had its effect. It changes nothing.
type DoneFunc[In, Out any] func(ctx context.Context, call firedrill.Call, in In) (firedrill.Doneness, Result[Out], error)

// Typed makes an action from a function. The spec's In and Out are filled here.
func Typed[In, Out any](spec firedrill.Spec, do Func[In, Out]) firedrill.Action {
	return typed[In, Out]{describe[In, Out](spec), do}
}

// TypedAsk makes an action of replay policy [firedrill.Ask].
func TypedAsk[In, Out any](spec firedrill.Spec, do Func[In, Out], done DoneFunc[In, Out]) firedrill.Action {
	spec.Replay = firedrill.Ask
	return typedAsk[In, Out]{typed[In, Out]{describe[In, Out](spec), do}, done}
}

func describe[In, Out any](spec firedrill.Spec) firedrill.Spec {
	spec.In, spec.Out = reflect.TypeFor[In](), reflect.TypeFor[Out]()
	return spec
}

type typed[In, Out any] struct {
	spec firedrill.Spec
	do   Func[In, Out]
}

func (a typed[In, Out]) Spec() firedrill.Spec { return a.spec }

func (a typed[In, Out]) Do(ctx context.Context, call firedrill.Call) (firedrill.Outcome, error) {
	in, err := inputs[In](a.spec.Name, call)
	if err != nil {
		return firedrill.Outcome{}, err
	}
	res, err := a.do(ctx, call, in)
	return outcome(a.spec.Name, res, err)
}

type typedAsk[In, Out any] struct {
	typed[In, Out]
	done DoneFunc[In, Out]
}

func (a typedAsk[In, Out]) Done(ctx context.Context, call firedrill.Call) (firedrill.Doneness, firedrill.Outcome, error) {
	in, err := inputs[In](a.spec.Name, call)
	if err != nil {
		return firedrill.DoneUnknown, firedrill.Outcome{}, err
	}
	is, res, err := a.done(ctx, call, in)
	if err != nil {
		return firedrill.DoneUnknown, firedrill.Outcome{}, err
	}
	out, err := outcome(a.spec.Name, res, nil)
	return is, out, err
}

func inputs[In any](name string, call firedrill.Call) (In, error) {
	var in In
	if err := call.Inputs.Into(&in); err != nil {
		return in, &firedrill.Error{Op: name, Kind: firedrill.KindUsage, Target: "step " + call.Step,
			Detail: "its inputs do not fit the action", Remedy: "see: firedrill action show " + name, Err: err}
	}
	return in, nil
}

// outcome keeps what an action measured even when it failed.
func outcome[Out any](name string, res Result[Out], failed error) (firedrill.Outcome, error) {
	out := firedrill.Outcome{Summary: res.Summary, Checks: res.Checks, Collateral: res.Collateral, Notes: res.Notes,
		Steps: res.Steps, Observation: res.Observation}
	values, err := firedrill.ToValues(res.Out)
	if err != nil {
		err = fmt.Errorf("%s: outputs: %w", name, err)
		if failed == nil {
			failed = &firedrill.Error{Op: name, Kind: firedrill.KindInternal, Err: err}
		}
	}
	out.Outputs = values
	return out, failed
}
