package cloudflare

import (
	"context"
	"fmt"
	"time"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/action/cloudflare/versionshim"
)

type workerUploadIn struct {
	Worker  string `json:"worker" doc:"name of the Worker"`
	Pinned  string `json:"pinned" doc:"output file of worker.pin"`
	Path    string `json:"path" doc:"route that is to fail"`
	Minutes int64  `json:"minutes,omitempty" doc:"after how many minutes the fault dies by itself; 15 if left out"`
}

type workerUploadOut struct {
	Version string `json:"version" doc:"the uploaded version"`
}

func (p *pack) workerUploadBad() firedrill.Action {
	const name = "worker.upload-bad-version"
	return action.TypedAsk(firedrill.Spec{Name: name, Impact: firedrill.Changes, Claims: workerClaim(true),
		Doc: "Upload a bad version of a Worker, without deploying it: the deployed modules, byte-identical, behind a generated one whose route answers drill-bad-deploy. Every binding comes from the recorded version."},
		func(ctx context.Context, call firedrill.Call, in workerUploadIn) (action.Result[workerUploadOut], error) {
			var res action.Result[workerUploadOut]
			s, pin, err := p.recorded(call, name, in.Worker, in.Pinned)
			if err != nil {
				return res, err
			}
			good := pin.newest()
			modules, main, err := s.content(ctx, good.ID)
			if err != nil {
				return res, err
			}
			minutes := in.Minutes
			if minutes <= 0 {
				minutes = 15
			}
			bad, badMain, err := versionshim.Wrap(versionshim.Input{Modules: modules, Main: main, Handlers: good.Resources.Script.Handlers,
				ID: badTag(call.Run), Path: in.Path, Until: call.Now().Wall.Add(time.Duration(minutes) * time.Minute)})
			if err != nil {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindUnsupported, Target: "Worker " + in.Worker, Detail: "no bad version can be made of it", Err: err, Remedy: "drill another Worker"}
			}
			res.Out.Version, err = s.upload(ctx, good, bad, badMain, badTag(call.Run), "firedrill: a bad version for a rollback drill")
			res.Summary = fmt.Sprintf("bad version %.8s uploaded, %s inherited", res.Out.Version, count(len(good.Resources.Bindings), "binding"))
			return res, err
		},
		func(ctx context.Context, call firedrill.Call, in workerUploadIn) (firedrill.Doneness, action.Result[workerUploadOut], error) {
			var res action.Result[workerUploadOut]
			s, err := p.script(call, name, in.Worker)
			if err != nil {
				return firedrill.DoneUnknown, res, err
			}
			v, ok, err := s.tagged(ctx, badTag(call.Run))
			if err != nil || !ok {
				return firedrill.NotDone, res, err
			}
			res.Out.Version = v.ID
			return firedrill.Done, res, nil
		})
}

type workerSplitIn struct {
	Worker string `json:"worker" doc:"name of the Worker"`
	Pinned string `json:"pinned" doc:"output file of worker.pin"`
}

func (p *pack) workerDeployBad() firedrill.Action {
	const name = "worker.deploy-bad-version"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Damages, Replay: firedrill.Never, Claims: workerClaim(true),
		Doc: "The disaster: deploy the bad version to all traffic. Refused if anybody deployed since the Worker was recorded."},
		func(ctx context.Context, call firedrill.Call, in workerSplitIn) (action.Result[workerUploadOut], error) {
			var res action.Result[workerUploadOut]
			s, pin, err := p.recorded(call, name, in.Worker, in.Pinned)
			if err != nil {
				return res, err
			}
			bad, ok, err := s.tagged(ctx, badTag(call.Run))
			if err != nil {
				return res, err
			}
			if !ok {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindNotFound, Target: "Worker " + in.Worker, Detail: "the bad version is not there"}
			}
			now, err := s.deployments(ctx)
			if err != nil {
				return res, err
			}
			if now[0].ID != pin.Deployment {
				return res, somebodyDeployed(name, in.Worker, now[0], "nothing was damaged")
			}
			res.Out.Version = bad.ID
			res.Summary = fmt.Sprintf("bad version %.8s serves all traffic", bad.ID)
			return res, s.deploy(ctx, []share{{bad.ID, 100}}, pin.objects(), "firedrill: the disaster of a rollback drill")
		})
}

// somebodyDeployed is a deployment that is not the drill's: it is reported and
// never reverted.
func somebodyDeployed(op, worker string, d deployment, so string) error {
	return &firedrill.Error{Op: op, Kind: firedrill.KindConflict, Target: "Worker " + worker,
		Detail: fmt.Sprintf("somebody deployed %s at %s; %s", splitText(d.Versions), d.Created, so), Remedy: "look whose deployment it is, then run the drill again"}
}

type workerRollbackIn struct {
	Worker string `json:"worker" doc:"name of the Worker"`
	Pinned string `json:"pinned" doc:"output file of worker.pin"`
	Split  string `json:"split" doc:"output split of worker.pin, for the command that a person would type"`
	Must   bool   `json:"must,omitempty" doc:"the bad version must be what serves; that the recorded versions serve already is an error then"`
}

type workerRollbackOut struct {
	Rolled bool `json:"rolled" doc:"a deployment was made; false: the recorded versions served already"`
}

func (p *pack) workerRollback() firedrill.Action {
	const name = "worker.rollback"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Changes, Replay: firedrill.Idempotent, Claims: workerClaim(true),
		Doc: "Put the recorded split of versions back, but only if the drill's bad version is what serves: a colleague's deployment in between is reported, never reverted.",
		Repair: func(in firedrill.Values) string {
			worker, _ := in["worker"].(string)
			split, _ := in["split"].(string)
			return "npx wrangler versions deploy " + split + " --name " + shellWord(worker) + " --yes"
		}},
		func(ctx context.Context, call firedrill.Call, in workerRollbackIn) (action.Result[workerRollbackOut], error) {
			var res action.Result[workerRollbackOut]
			s, pin, err := p.recorded(call, name, in.Worker, in.Pinned)
			if err != nil {
				return res, err
			}
			began := call.Now()
			now, state, err := s.serving(ctx, call.Run, pin)
			if err != nil {
				return res, err
			}
			switch {
			case state == servesOther:
				return res, somebodyDeployed(name, in.Worker, now, "nothing was reverted")
			case in.Must && state == servesRecorded && call.Attempt > 1:
				// The attempt before may have done it and nobody acknowledged it. Only
				// an answer that does makes it this rollback; done twice it is the same.
			case in.Must && state != servesBad:
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindConflict, Target: "Worker " + in.Worker,
					Detail: "the recorded versions serve already, and this drill did not put them back: somebody else did, or the list of deployments is wrong", Remedy: "look at the Worker's deployments, then run the drill again"}
			case state != servesBad:
				res.Summary = "the recorded versions serve already"
				return res, nil
			}
			if err := s.deploy(ctx, pin.Split, pin.objects(), "firedrill: back to what served before the drill"); err != nil {
				return res, err
			}
			took, _ := call.Now().Since(began)
			res.Out.Rolled = true
			res.Summary = fmt.Sprintf("%s serves again after %s", splitText(pin.Split), took.Round(time.Millisecond))
			return res, nil
		})
}

// servingState is what a Worker serves, seen from a drill.
type servingState int

const (
	servesOther    servingState = iota // something that the drill does not know
	servesRecorded                     // the split before the drill
	servesBad                          // the drill's bad version
	servesClean                        // the split with the drill's clean copy in it
)

// serving tells what serves now.
func (s script) serving(ctx context.Context, run string, pin pinned) (deployment, servingState, error) {
	all, err := s.deployments(ctx)
	if err != nil {
		return deployment{}, servesOther, err
	}
	now := all[0]
	if now.serves(pin.Split) {
		return now, servesRecorded, nil
	}
	for _, known := range []struct {
		tag   string
		state servingState
		split func(id string) []share
	}{{badTag(run), servesBad, func(id string) []share { return []share{{id, 100}} }}, {cleanTag(run), servesClean, pin.withClean}} {
		v, ok, err := s.tagged(ctx, known.tag)
		if err != nil {
			return now, servesOther, err
		}
		if ok && now.serves(known.split(v.ID)) {
			return now, known.state, nil
		}
	}
	return now, servesOther, nil
}

// withClean is the recorded split with a copy in place of its newest version.
func (p pinned) withClean(id string) []share {
	split := append([]share(nil), p.Split...)
	for i := range split {
		if split[i].Version == p.newest().ID {
			split[i].Version = id
		}
	}
	return split
}
