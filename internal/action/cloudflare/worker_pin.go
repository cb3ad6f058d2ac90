package cloudflare

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/action/cloudflare/versionshim"
)

// WorkerResource is a Worker of the plan as a drill hands it on.
type WorkerResource struct {
	Key     string          `json:"key,omitempty" doc:"name of the resource in the plan"`
	Kind    string          `json:"kind,omitempty" doc:"worker"`
	Name    string          `json:"name" doc:"name of the Worker script"`
	URL     string          `json:"url,omitempty" doc:"address under which it is reached"`
	Probes  []action.Probe  `json:"probes,omitempty" doc:"its probes"`
	Exports []action.Export `json:"exports,omitempty" doc:"its export routes"`

	Sentinel *action.Sentinel `json:"sentinel,omitempty" doc:"its routes for numbered writes"`
}

type workerFindIn struct {
	Resource WorkerResource `json:"resource" doc:"a Worker of the plan"`
}

type workerFindOut struct {
	Name string `json:"name" doc:"name of the Worker script"`
}

func (p *pack) workerFind() firedrill.Action {
	const name = "worker.find"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Doc: "Find a Worker of the plan and see that it is deployed."},
		func(ctx context.Context, call firedrill.Call, in workerFindIn) (action.Result[workerFindOut], error) {
			var res action.Result[workerFindOut]
			s, err := p.script(call, name, in.Resource.Name)
			if err != nil {
				return res, err
			}
			d, err := s.deployments(ctx)
			if err != nil {
				return res, err
			}
			res.Out.Name = in.Resource.Name
			res.Summary = fmt.Sprintf("Worker %s serves %s", in.Resource.Name, count(len(d[0].Versions), "version"))
			return res, nil
		})
}

// pinned is what serves before a drill, as it is kept in the run's folder.
type pinned struct {
	Worker     string    `json:"worker"`
	Deployment string    `json:"deployment"`
	Split      []share   `json:"split"`
	Versions   []version `json:"versions"` // of the split, in its order
	Digests    []string  `json:"digests"`  // of their modules
	Settings   any       `json:"settings"` // script-settings
}

// newest is the version of the split that was uploaded last.
func (p pinned) newest() version {
	return slices.MaxFunc(p.Versions, func(a, b version) int { return int(a.Number - b.Number) })
}

func (p pinned) objects() bool {
	for _, b := range p.newest().Resources.Bindings {
		if b["type"] == "durable_object_namespace" {
			return true
		}
	}
	return false
}

type workerPinIn struct {
	Worker string `json:"worker" doc:"name of the Worker"`
}

type workerPinOut struct {
	Version    string `json:"version" doc:"the version that serves; of several, the one that was uploaded last"`
	Count      int64  `json:"count" doc:"versions that serve"`
	Deployment string `json:"deployment" doc:"the deployment that serves"`
	Split      string `json:"split" doc:"the split as wrangler writes it: ID@PERCENT%"`
	File       string `json:"file" doc:"what was recorded, for the other actions"`
}

func (p *pack) workerPin() firedrill.Action {
	const name = "worker.pin"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: workerClaim(false),
		Doc: "Record exactly what serves now: the split of versions, their modules, bindings and settings. Refused if a newer version was uploaded and not deployed: the drill would be mistaken for it."},
		func(ctx context.Context, call firedrill.Call, in workerPinIn) (action.Result[workerPinOut], error) {
			var res action.Result[workerPinOut]
			s, err := p.script(call, name, in.Worker)
			if err != nil {
				return res, err
			}
			pin, err := s.pin(ctx)
			if err != nil {
				return res, err
			}
			data, err := json.MarshalIndent(pin, "", "  ")
			if err != nil {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindInternal, Err: err}
			}
			file := filepath.Join(call.Dir, strings.ReplaceAll(call.Step, "/", "-")+".json")
			if err := os.WriteFile(file, data, 0o600); err != nil {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindStorage, Target: file, Err: err, Remedy: "look at the disk, or use another --home"}
			}
			res.Out = workerPinOut{Version: pin.newest().ID, Count: int64(len(pin.Split)), Deployment: pin.Deployment, Split: wranglerSplit(pin.Split), File: file}
			res.Summary = "serves " + splitText(pin.Split)
			return res, nil
		})
}

func (s script) pin(ctx context.Context) (pinned, error) {
	d, err := s.deployments(ctx)
	if err != nil {
		return pinned{}, err
	}
	pin := pinned{Worker: s.name, Deployment: d[0].ID, Split: d[0].Versions}
	for _, part := range pin.Split {
		v, err := s.version(ctx, part.Version)
		if err != nil {
			return pinned{}, err
		}
		digest, err := s.digest(ctx, part.Version)
		if err != nil {
			return pinned{}, err
		}
		pin.Versions, pin.Digests = append(pin.Versions, v), append(pin.Digests, digest)
	}
	if len(pin.Versions) == 0 {
		return pinned{}, &firedrill.Error{Op: s.op, Kind: firedrill.KindCorrupt, Target: "Worker " + s.name, Detail: "its deployment names no version"}
	}
	all, err := s.versions(ctx)
	if err != nil {
		return pinned{}, err
	}
	if newest := pin.newest(); all[0].Number > newest.Number {
		return pinned{}, &firedrill.Error{Op: s.op, Kind: firedrill.KindConflict, Target: "Worker " + s.name,
			Detail: fmt.Sprintf("version %s was uploaded after the one that serves and is not deployed", all[0].ID), Remedy: "deploy it or upload what serves again, then run the drill"}
	}
	return pin, s.get(ctx, &pin.Settings, nil, "script-settings")
}

// digest stands for the modules of a version, names and types included.
func (s script) digest(ctx context.Context, id string) (string, error) {
	modules, main, err := s.content(ctx, id)
	if err != nil {
		return "", err
	}
	return modulesDigest(modules, main), nil
}

func modulesDigest(modules []versionshim.Module, main string) string {
	sorted := slices.Clone(modules)
	slices.SortFunc(sorted, func(a, b versionshim.Module) int { return strings.Compare(a.Name, b.Name) })
	var b strings.Builder
	b.WriteString(main)
	for _, m := range sorted {
		fmt.Fprintf(&b, "\x00%d %s\x00%d %s\x00%d ", len(m.Name), m.Name, len(m.ContentType), m.ContentType, len(m.Data))
		b.Write(m.Data)
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:])
}

// readPin reads what worker.pin recorded.
func readPin(op, file, worker string) (pinned, error) {
	var pin pinned
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &pin)
	}
	if err == nil && (pin.Worker != worker || len(pin.Split) == 0 || len(pin.Versions) != len(pin.Split)) {
		err = fmt.Errorf("it is not about Worker %s", worker)
	}
	if err != nil {
		return pin, &firedrill.Error{Op: op, Kind: firedrill.KindCorrupt, Target: file, Detail: "what was recorded before the drill cannot be read", Err: err, Remedy: "restore the file from a copy of the run's folder"}
	}
	return pin, nil
}

// wranglerSplit writes a split as `wrangler versions deploy` takes it.
func wranglerSplit(split []share) string {
	parts := make([]string, len(split))
	for i, s := range split {
		parts[i] = fmt.Sprintf("%s@%g%%", s.Version, s.Percentage)
	}
	return strings.Join(parts, " ")
}

// recorded gives the Worker of a call and what worker.pin recorded about it.
func (p *pack) recorded(call firedrill.Call, op, worker, file string) (script, pinned, error) {
	s, err := p.script(call, op, worker)
	if err != nil {
		return s, pinned{}, err
	}
	pin, err := readPin(op, file, worker)
	return s, pin, err
}

func splitText(split []share) string {
	parts := make([]string, len(split))
	for i, s := range split {
		parts[i] = fmt.Sprintf("%.8s at %g %%", s.Version, s.Percentage)
	}
	return strings.Join(parts, ", ")
}
