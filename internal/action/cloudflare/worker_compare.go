package cloudflare

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"firedrill"
	"firedrill/internal/action"
)

type workerCompareOut struct {
	Compared int64 `json:"compared" doc:"things that were compared"`
}

func (p *pack) workerCompare() firedrill.Action {
	const name = "worker.compare"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: workerClaim(false),
		Doc: "Compare what serves with what was recorded: the split, the modules byte by byte, bindings and secrets by name, type and target, and the script's settings."},
		func(ctx context.Context, call firedrill.Call, in workerSplitIn) (action.Result[workerCompareOut], error) {
			var res action.Result[workerCompareOut]
			s, pin, err := p.recorded(call, name, in.Worker, in.Pinned)
			if err != nil {
				return res, err
			}
			now, state, err := s.serving(ctx, call.Run, pin)
			if err != nil {
				return res, err
			}
			check := func(ok bool, n int, good, bad string) {
				c := firedrill.Check{OK: ok, Compared: int64(n), Detail: good}
				if !ok {
					c.Detail = bad
				}
				res.Checks = append(res.Checks, c)
				res.Out.Compared += c.Compared
			}
			check(state == servesRecorded || state == servesClean, len(pin.Split), "the recorded split serves", "what serves is "+splitText(now.Versions)+", recorded is "+splitText(pin.Split))
			if err := s.compareVersions(ctx, pin, now, check); err != nil {
				return res, err
			}
			var settings any
			if err := s.get(ctx, &settings, nil, "script-settings"); err != nil {
				return res, err
			}
			check(sameJSON(settings, pin.Settings), 1, "settings as before", "the script's settings are not as before")
			res.Summary = fmt.Sprintf("%s serve as recorded", count(len(pin.Split), "version"))
			return res, nil
		})
}

// compareVersions compares each version that serves with its counterpart.
func (s script) compareVersions(ctx context.Context, pin pinned, now deployment, check func(bool, int, string, string)) error {
	for i, part := range pin.Split {
		j := slices.IndexFunc(now.Versions, func(x share) bool { return x.Version == part.Version })
		if j < 0 { // the clean copy stands for it
			j = slices.IndexFunc(now.Versions, func(x share) bool {
				return x.Percentage == part.Percentage && !slices.ContainsFunc(pin.Split, func(y share) bool { return y.Version == x.Version })
			})
		}
		if j < 0 {
			check(false, 1, "", fmt.Sprintf("nothing serves in place of version %.8s", part.Version))
			continue
		}
		id := now.Versions[j].Version
		v, err := s.version(ctx, id)
		if err != nil {
			return err
		}
		digest, err := s.digest(ctx, id)
		if err != nil {
			return err
		}
		check(digest == pin.Digests[i], 1, "modules equal byte by byte", fmt.Sprintf("the modules of version %.8s are not those of %.8s", id, part.Version))
		want, got := bindingTexts(pin.Versions[i]), bindingTexts(v)
		check(slices.Equal(want, got), 1+len(want), count(len(want), "binding")+" as before", fmt.Sprintf("bindings were %v and are %v", want, got))
		check(sameJSON(pin.Versions[i].Resources.Runtime, v.Resources.Runtime), 1, "runtime settings as before", "compatibility date, flags or limits are not as before")
	}
	return nil
}

// bindingTexts writes bindings so that they compare: name, type and target.
// Secrets show no text, only that they are there.
func bindingTexts(v version) []string {
	var texts []string
	for _, b := range v.Resources.Bindings {
		data, err := json.Marshal(b) // keys are sorted
		if err != nil {
			data = []byte(fmt.Sprint(b))
		}
		texts = append(texts, string(data))
	}
	slices.Sort(texts)
	return texts
}

func sameJSON(a, b any) bool {
	plain := func(x any) any {
		data, err := json.Marshal(x)
		if err != nil {
			return err
		}
		v, err := firedrill.DecodeValue(data)
		if err != nil {
			return err
		}
		return v
	}
	return reflect.DeepEqual(plain(a), plain(b))
}

type workerDefuseOut struct {
	Version string `json:"version" doc:"the clean copy that serves now; empty if none was needed"`
}

func (p *pack) workerDefuse() firedrill.Action {
	const name = "worker.defuse"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Changes, Replay: firedrill.Idempotent, Claims: workerClaim(true),
		Doc: "Leave no landmine: while the drill's bad version is the newest, `wrangler secret put` refuses and `versions secret put` would copy it. Upload a clean copy of the recorded version and deploy it in its place. Every part looks first what is there, so it can be done again."},
		func(ctx context.Context, call firedrill.Call, in workerSplitIn) (action.Result[workerDefuseOut], error) {
			var res action.Result[workerDefuseOut]
			s, pin, err := p.recorded(call, name, in.Worker, in.Pinned)
			if err != nil {
				return res, err
			}
			now, state, err := s.serving(ctx, call.Run, pin)
			if err != nil {
				return res, err
			}
			if _, ok, err := s.tagged(ctx, badTag(call.Run)); err != nil || !ok {
				res.Summary = "no bad version was uploaded"
				return res, err
			}
			if state == servesOther || state == servesBad {
				return res, somebodyDeployed(name, in.Worker, now, "it stays")
			}
			id, err := s.cleanCopy(ctx, call.Run, pin)
			if err != nil {
				return res, err
			}
			res.Out.Version = id
			if state == servesRecorded {
				err = s.deployClean(ctx, pin, id)
			}
			res.Summary = fmt.Sprintf("clean copy %.8s serves in place of %.8s", id, pin.newest().ID)
			return res, err
		})
}

// cleanCopy gives the clean copy of the recorded version, and uploads it if it
// is not there.
func (s script) cleanCopy(ctx context.Context, run string, pin pinned) (string, error) {
	if v, ok, err := s.tagged(ctx, cleanTag(run)); err != nil || ok {
		return v.ID, err
	}
	good := pin.newest()
	modules, main, err := s.content(ctx, good.ID)
	if err != nil {
		return "", err
	}
	return s.upload(ctx, good, modules, main, cleanTag(run), "firedrill: a clean copy of what served before the drill")
}

// deployClean makes the clean copy serve. Where several versions serve, one of
// the good ones serves alone for a moment before: `wrangler rollback` without
// an id takes the newest earlier deployment of a single version, and that
// would be the disaster.
func (s script) deployClean(ctx context.Context, pin pinned, id string) error {
	if len(pin.Split) > 1 {
		if err := s.deploy(ctx, []share{{pin.newest().ID, 100}}, pin.objects(), "firedrill: a place for wrangler rollback to land"); err != nil {
			return err
		}
	}
	return s.deploy(ctx, pin.withClean(id), pin.objects(), "firedrill: a clean copy of what served before the drill")
}

func (p *pack) workerLandmines() firedrill.Action {
	const name = "worker.landmines"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: workerClaim(false),
		Doc: "Check that the drill's bad version is nowhere in the way: it does not serve, it is not the newest upload, and `wrangler rollback` without an id does not land on it."},
		func(ctx context.Context, call firedrill.Call, in workerSplitIn) (action.Result[workerCompareOut], error) {
			var res action.Result[workerCompareOut]
			s, err := p.script(call, name, in.Worker)
			if err != nil {
				return res, err
			}
			bad, uploaded, err := s.tagged(ctx, badTag(call.Run))
			if err != nil {
				return res, err
			}
			all, err := s.deployments(ctx)
			if err != nil {
				return res, err
			}
			versions, err := s.versions(ctx)
			if err != nil {
				return res, err
			}
			is := func(id string) bool { return uploaded && id == bad.ID }
			serves := slices.ContainsFunc(all[0].Versions, func(x share) bool { return is(x.Version) })
			landing := ""
			for _, d := range all[1:] {
				if len(d.Versions) == 1 {
					landing = d.Versions[0].Version
					break
				}
			}
			newestServes := slices.ContainsFunc(all[0].Versions, func(x share) bool { return x.Version == versions[0].ID })
			for _, c := range []struct {
				ok        bool
				good, bad string
			}{
				{!serves, "the bad version does not serve", "the bad version serves"},
				{!is(versions[0].ID) && newestServes, "the newest upload is what serves", "the newest upload is not what serves: wrangler secret put would refuse"},
				{!is(landing), "wrangler rollback does not land on the bad version", "wrangler rollback without an id would land on the bad version"},
			} {
				check := firedrill.Check{OK: c.ok, Compared: 1, Detail: c.good}
				if !c.ok {
					check.Detail = c.bad
				}
				res.Checks = append(res.Checks, check)
			}
			res.Out.Compared = int64(len(res.Checks))
			res.Summary = "no landmine: " + strings.Join([]string{"the newest upload serves", "rollback lands on a good version"}, ", ")
			return res, nil
		})
}
