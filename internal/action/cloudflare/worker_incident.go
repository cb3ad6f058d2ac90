package cloudflare

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"firedrill"
	"firedrill/internal/action"
)

type workerFoundIn struct {
	Worker string `json:"worker" doc:"name of the Worker"`
}

type splitOut struct {
	Split string `json:"split" doc:"versions and their parts of the traffic, as wrangler writes them: ID@PERCENT%"`
}

func (p *pack) workerFound() firedrill.Action {
	const name = "worker.found"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: workerClaim(false),
		Doc: "Record what a Worker serves when its recovery begins, so that it can be brought back."},
		func(ctx context.Context, call firedrill.Call, in workerFoundIn) (action.Result[splitOut], error) {
			var res action.Result[splitOut]
			s, err := p.script(call, name, in.Worker)
			if err != nil {
				return res, err
			}
			all, err := s.deployments(ctx)
			if err != nil {
				return res, err
			}
			res.Out.Split = wranglerSplit(all[0].Versions)
			res.Summary = "found " + splitText(all[0].Versions) + " serving"
			return res, nil
		})
}

type workerPointIn struct {
	Worker string `json:"worker" doc:"name of the Worker"`
	Split  string `json:"split,omitempty" doc:"what is to serve: ID@PERCENT%, several with spaces between"`
	At     string `json:"at,omitempty" doc:"or a time, as RFC 3339: what served then"`
}

func (p *pack) workerPoint() firedrill.Action {
	const name = "worker.point"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: workerClaim(false),
		Doc: "Settle which versions of a Worker are to serve: those that are named, or those that served at a time. Each must still be there. What serves already is refused: there is nothing to return to."},
		func(ctx context.Context, call firedrill.Call, in workerPointIn) (action.Result[splitOut], error) {
			var res action.Result[splitOut]
			s, err := p.script(call, name, in.Worker)
			if err != nil {
				return res, err
			}
			all, err := s.deployments(ctx)
			if err != nil {
				return res, err
			}
			var split []share
			switch {
			case (in.Split == "") == (in.At == ""):
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindUsage, Target: "Worker " + in.Worker, Detail: "the point is neither a version nor a time, or both", Remedy: "give one of them"}
			case in.Split != "":
				split, err = parseSplit(name, in.Split)
			default:
				split, err = servedAt(name, in.Worker, in.At, all)
			}
			if err != nil {
				return res, err
			}
			for _, part := range split {
				if _, err := s.version(ctx, part.Version); err != nil {
					return res, err
				}
			}
			if all[0].serves(split) {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindConflict, Target: "Worker " + in.Worker, Detail: splitText(split) + " serves already", Remedy: "return to another version: npx wrangler versions list --name " + shellWord(in.Worker)}
			}
			res.Out.Split = wranglerSplit(split)
			res.Summary = "returns to " + splitText(split)
			return res, nil
		})
}

// servedAt gives what served at a time. all has the newest first.
func servedAt(op, worker, at string, all []deployment) ([]share, error) {
	fail := func(kind firedrill.Kind, detail, remedy string) ([]share, error) {
		return nil, &firedrill.Error{Op: op, Kind: kind, Target: "Worker " + worker, Detail: detail, Remedy: remedy}
	}
	want, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		return fail(firedrill.KindUsage, fmt.Sprintf("%q is no time", at), "write for example 2026-01-02T15:04:05Z")
	}
	for _, d := range all {
		since, err := time.Parse(time.RFC3339Nano, d.Created)
		if err != nil {
			return fail(firedrill.KindCorrupt, fmt.Sprintf("deployment %s was made at %q, which is no time", d.ID, d.Created), "name a version instead")
		}
		if !since.After(want) {
			return d.Versions, nil
		}
	}
	return fail(firedrill.KindNotFound, "no deployment is listed that served at "+at, "name a version instead: npx wrangler versions list --name "+shellWord(worker))
}

// parseSplit reads what [wranglerSplit] writes.
func parseSplit(op, text string) ([]share, error) {
	var split []share
	sum := 0.0
	for _, word := range strings.Fields(text) {
		id, percent, ok := strings.Cut(strings.TrimSuffix(word, "%"), "@")
		part, err := strconv.ParseFloat(percent, 64)
		if !ok || id == "" || err != nil || part <= 0 || part > 100 || slices.ContainsFunc(split, func(s share) bool { return s.Version == id }) {
			return nil, &firedrill.Error{Op: op, Kind: firedrill.KindUsage, Target: "input split", Detail: fmt.Sprintf("%q is no part of a split", word), Remedy: "write ID@PERCENT%"}
		}
		split = append(split, share{id, part})
		sum += part
	}
	if sum < 99.99 || sum > 100.01 {
		return nil, &firedrill.Error{Op: op, Kind: firedrill.KindUsage, Target: "input split", Detail: fmt.Sprintf("the parts of %q make %g %%", text, sum), Remedy: "let them make 100 %"}
	}
	return split, nil
}

type workerServeIn struct {
	Worker string `json:"worker" doc:"name of the Worker"`
	Split  string `json:"split" doc:"output split of worker.point"`
}

type workerServesOut struct {
	Compared int64 `json:"compared" doc:"versions that were compared"`
}

func (p *pack) workerServe() firedrill.Action {
	const name = "worker.serve"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Changes, Replay: firedrill.Idempotent, Claims: workerClaim(true),
		Doc: "Let exactly these versions of a Worker serve, in place of whatever serves now. For the recovery of an incident: a drill uses worker.rollback, which reverts nobody's deployment."},
		func(ctx context.Context, call firedrill.Call, in workerServeIn) (action.Result[splitOut], error) {
			var res action.Result[splitOut]
			s, err := p.script(call, name, in.Worker)
			if err != nil {
				return res, err
			}
			split, err := parseSplit(name, in.Split)
			if err != nil {
				return res, err
			}
			objects := false
			for _, part := range split {
				v, err := s.version(ctx, part.Version)
				if err != nil {
					return res, err
				}
				objects = objects || slices.ContainsFunc(v.Resources.Bindings, func(b map[string]any) bool { return b["type"] == "durable_object_namespace" })
			}
			began := call.Now()
			if err := s.deploy(ctx, split, objects, "firedrill: recovery of an incident"); err != nil {
				return res, err
			}
			took, _ := call.Now().Since(began)
			res.Out.Split = in.Split
			res.Summary = fmt.Sprintf("%s serves after %s", splitText(split), took.Round(time.Millisecond))
			return res, nil
		})
}

func (p *pack) workerServes() firedrill.Action {
	const name = "worker.serves"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: workerClaim(false),
		Doc: "Check that exactly these versions of a Worker serve, by the list of its deployments. Whether it answers as it should is for probes to tell."},
		func(ctx context.Context, call firedrill.Call, in workerServeIn) (action.Result[workerServesOut], error) {
			var res action.Result[workerServesOut]
			s, err := p.script(call, name, in.Worker)
			if err != nil {
				return res, err
			}
			split, err := parseSplit(name, in.Split)
			if err != nil {
				return res, err
			}
			all, err := s.deployments(ctx)
			if err != nil {
				return res, err
			}
			res.Out.Compared = int64(len(split))
			res.Summary = splitText(all[0].Versions) + " serves"
			res.Checks = []firedrill.Check{{OK: all[0].serves(split), Compared: res.Out.Compared, Detail: res.Summary}}
			return res, nil
		})
}
