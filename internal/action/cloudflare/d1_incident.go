package cloudflare

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"firedrill"
	"firedrill/internal/action"
)

type pointIn struct {
	Database string `json:"database" doc:"id of the database"`
	Bookmark string `json:"bookmark,omitempty" doc:"the point in time itself"`
	At       string `json:"at,omitempty" doc:"or a time, as RFC 3339: the newest point in time at or before it"`
}

type pointOut struct {
	Bookmark string `json:"bookmark" doc:"the point in time to return to"`
}

func (p *pack) d1Point() firedrill.Action {
	const name = "d1.point"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: claim(false),
		Doc: "Settle to which point in time a database returns: a bookmark, or what the platform keeps of a time. A point that is not before the present one is refused: there is nothing to return to."},
		func(ctx context.Context, call firedrill.Call, in pointIn) (action.Result[pointOut], error) {
			var res action.Result[pointOut]
			d, err := p.database(ctx, name, call, in.Database)
			if err != nil {
				return res, err
			}
			refuse := func(kind firedrill.Kind, detail, remedy string) error {
				return &firedrill.Error{Op: name, Kind: kind, Target: "database " + d.db.Name, Detail: detail, Remedy: remedy}
			}
			if (in.Bookmark == "") == (in.At == "") {
				return res, refuse(firedrill.KindUsage, "the point is neither a bookmark nor a time, or both", "give one of them")
			}
			to := in.Bookmark
			if to == "" {
				if to, err = d.bookmarkAt(ctx, name, in.At); err != nil {
					return res, err
				}
			}
			now, err := d.bookmark(ctx, name)
			if err != nil {
				return res, err
			}
			switch {
			case to > now: // bookmarks are ordered like their texts
				return res, refuse(firedrill.KindUsage, "the point "+to+" is not in the database's past", "give an earlier point")
			case to == now:
				return res, refuse(firedrill.KindConflict, "nobody has written since that point: the database is already as it was then", "give an earlier point, or look for the damage elsewhere")
			}
			res.Out.Bookmark = to
			res.Summary = "returns to bookmark " + to
			return res, nil
		})
}

// bookmarkAt gives the newest point in time at or before a time.
func (d *d1) bookmarkAt(ctx context.Context, op, at string) (string, error) {
	t, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		return "", &firedrill.Error{Op: op, Kind: firedrill.KindUsage, Target: "input at", Detail: fmt.Sprintf("%q is no time", at), Remedy: "write for example 2026-01-02T15:04:05Z"}
	}
	req := d.request(op, http.MethodGet, "time_travel", "bookmark")
	req.Query = url.Values{"timestamp": {t.UTC().Format("2006-01-02T15:04:05.000Z")}}
	resp, err := d.c.Do(ctx, req)
	if err != nil {
		return "", err
	}
	var out pointOut
	if err := resp.Decode(req, &out); err != nil {
		return "", err
	}
	if out.Bookmark == "" {
		return "", unreadable(req, "the answer has no bookmark")
	}
	return out.Bookmark, nil
}

type foundOut struct {
	Bookmark string `json:"bookmark" doc:"the point in time before the recovery: returning to it undoes the recovery"`
	Against  string `json:"against" doc:"fingerprint of that state in the run's folder; empty where it could not be taken"`
}

type foundIn struct {
	Database string `json:"database" doc:"id of the database"`
	Level    string `json:"level,omitempty" doc:"full: every row; quick: schema, numbers of rows, outermost keys and a sample. full if left out"`
	// Every is for what cannot do without.
	Every bool `json:"every,omitempty" doc:"every row is needed: that they cannot be read is an error, and their values are kept until the run is over, so that differences can be told"`
}

func (p *pack) d1Found() firedrill.Action {
	const name = "d1.found"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: claim(false),
		Doc: "Record the state that a recovery is about to replace, so that it can be brought back: its bookmark, and its fingerprint where one can be taken. In an incident others may write, and tables may be broken: that keeps nobody from recovering, and is said."},
		func(ctx context.Context, call firedrill.Call, in foundIn) (action.Result[foundOut], error) {
			var res action.Result[foundOut]
			level, err := levelOf(name, in.Level)
			if err != nil {
				return res, err
			}
			var hide *redaction
			if in.Every {
				rules, err := columnRules(name, call.Environment)
				if err != nil {
					return res, err
				}
				hide = &rules
			}
			d, err := p.database(ctx, name, call, in.Database)
			if err != nil {
				return res, err
			}
			print, err := d.fingerprint(ctx, name, call, call.Step+".fingerprint", level, hide)
			if err == nil {
				res.Out = foundOut{print.bookmark, print.file}
				res.Summary = fmt.Sprintf("%s found in %s · bookmark %s", count(print.rows, "row"), count(len(print.schema.Tables), "table"), print.bookmark)
				return res, nil
			}
			if ctx.Err() != nil || in.Every {
				return res, err
			}
			res.Notes = []string{"the state before the recovery could not be fingerprinted, so that an undo has nothing to compare with: " + err.Error()}
			if res.Out.Bookmark, err = d.bookmark(ctx, name); err != nil {
				return res, err
			}
			res.Summary = "found at bookmark " + res.Out.Bookmark
			return res, nil
		})
}

type takeFingerprintIn struct {
	Run  string `json:"run" doc:"the run that took the fingerprint"`
	File string `json:"file" doc:"its name in that run's folder"`
}

type takeFingerprintOut struct {
	File string `json:"file" doc:"the copy in this run's folder"`
}

func (p *pack) d1TakeFingerprint() firedrill.Action {
	const name = "d1.take-fingerprint"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent,
		Doc: "Copy the fingerprint of an earlier run into this run's folder, to compare with it."},
		func(_ context.Context, call firedrill.Call, in takeFingerprintIn) (action.Result[takeFingerprintOut], error) {
			var res action.Result[takeFingerprintOut]
			dir, err := earlierFolder(call, in.Run)
			if err != nil {
				return res, err
			}
			earlier := call
			earlier.Dir = dir
			path, err := artefact(earlier, in.File)
			if err != nil {
				return res, err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindStorage, Target: path, Err: err, Remedy: "bring the folder of run " + in.Run + " back, or return to a bookmark without comparing: --to BOOKMARK"}
			}
			res.Out.File = call.Step + ".fingerprint"
			if err := save(call, res.Out.File, data); err != nil {
				return res, err
			}
			f, _, err := openFingerprint(call, res.Out.File)
			if err != nil {
				return res, err
			}
			res.Summary = "fingerprint of run " + in.Run
			return res, f.Close()
		})
}

// earlierFolder is the folder of another run, beside that of this one.
func earlierFolder(call firedrill.Call, run string) (string, error) {
	if !filepath.IsLocal(run) || filepath.Base(run) != run {
		return "", &firedrill.Error{Op: "artefact", Kind: firedrill.KindUsage, Target: "run " + run, Detail: "is not the id of a run", Remedy: "see: firedrill history"}
	}
	return filepath.Join(filepath.Dir(call.Dir), run), nil
}
