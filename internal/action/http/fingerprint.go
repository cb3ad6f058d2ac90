package http

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"firedrill"
	"firedrill/internal/action"
)

// exportsFormat is the version of the file that http.fingerprint leaves.
const exportsFormat = 1

// exportsFile is what exports gave before the drill.
type exportsFile struct {
	Format  int       `json:"format"`
	Exports []records `json:"exports"`
}

// fingerprintTimes is how often each export is read before a drill, to see
// whether it gives the same.
const fingerprintTimes = 2

type fingerprintIn struct {
	Exports []Export `json:"exports" doc:"routes to read, as environment.exports gives them"`
	Of      string   `json:"of,omitempty" doc:"only the exports of this; all if left out"`
}

type fingerprintOut struct {
	File    string `json:"file" doc:"file in the run's folder that holds a hash for every record"`
	Exports int64  `json:"exports" doc:"routes that were read"`
	Records int64  `json:"records" doc:"records in all of them"`
}

func (p *pack) fingerprint() firedrill.Action {
	const name = "http.fingerprint"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Timeout: time.Hour,
		Doc: "Hash every record that the application's export routes give, to compare them later by http.fingerprint-compare: another way to read what is restored, replicas included, and the only one to what a Durable Object holds. Each is read twice on connections of its own and must give the same; an export without records, or from a cache, is an error."},
		func(ctx context.Context, call firedrill.Call, in fingerprintIn) (action.Result[fingerprintOut], error) {
			var res action.Result[fingerprintOut]
			exports, err := exportsOf(name, in.Exports, in.Of)
			if err != nil {
				return res, err
			}
			fresh := p.fresh()
			file := exportsFile{Format: exportsFormat}
			for _, e := range exports {
				call.Progress(firedrill.Progress{Text: "reading " + e.name()})
				first, err := fresh.readSame(ctx, name, e)
				if err != nil {
					return res, err
				}
				file.Exports = append(file.Exports, first)
				res.Out.Records += int64(len(first.Records))
				res.Checks = append(res.Checks, firedrill.Check{OK: true, Compared: int64(len(first.Records)), Detail: fmt.Sprintf("%s gives %s, twice the same", e.name(), countRecords(len(first.Records)))})
			}
			res.Out.File, res.Out.Exports = strings.ReplaceAll(call.Step, "/", "-")+".exports.json", int64(len(exports))
			if err := saveExports(call.Dir, res.Out.File, file); err != nil {
				return res, err
			}
			res.Summary = fmt.Sprintf("%s exported by the application fingerprinted", countRecords(int(res.Out.Records)))
			return res, nil
		})
}

// readSame reads an export several times; it must give records, and always the
// same.
func (p *pack) readSame(ctx context.Context, op string, e Export) (records, error) {
	first, err := p.read(ctx, e)
	if err != nil {
		return first, err
	}
	if len(first.Records) == 0 {
		return first, broken(e, "it gives no records, so nothing could be compared")
	}
	for range fingerprintTimes - 1 {
		again, err := p.read(ctx, e)
		if err != nil {
			return first, err
		}
		if diff := differences(e, first, again); len(diff) > 0 {
			return first, &firedrill.Error{Op: op, Kind: firedrill.KindConflict, Target: e.name(), Detail: "two answers in a row differ: " + some(diff),
				Remedy: "stop the writers (quiesce in the plan); leave out of the export what differs from answer to answer"}
		}
	}
	return first, nil
}

// some shows the first of a list of differences.
func some(diff []string) string {
	const most = 3
	text := strings.Join(diff[:min(most, len(diff))], "; ")
	if n := len(diff) - most; n > 0 {
		text += fmt.Sprintf("; and %d more", n)
	}
	return text
}

func countRecords(n int) string {
	if n == 1 {
		return "1 record"
	}
	return fmt.Sprintf("%d records", n)
}

func saveExports(dir, name string, file exportsFile) error {
	data, err := json.Marshal(file)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		return &firedrill.Error{Op: "http.fingerprint", Kind: firedrill.KindStorage, Target: dir, Err: err, Remedy: "look at the disk, or use another --home"}
	}
	return nil
}

// loadExports reads what an earlier step left.
func loadExports(op, dir, name string) (map[string]records, error) {
	if !filepath.IsLocal(name) || filepath.Base(name) != name {
		return nil, &firedrill.Error{Op: op, Kind: firedrill.KindUsage, Target: name, Detail: "is not the name of a file in the run's folder", Remedy: "give the output file of http.fingerprint"}
	}
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil, &firedrill.Error{Op: op, Kind: firedrill.KindStorage, Target: name, Detail: "what an earlier step wrote cannot be read", Err: err}
	}
	var file exportsFile
	if err := json.Unmarshal(data, &file); err != nil || file.Format != exportsFormat {
		return nil, &firedrill.Error{Op: op, Kind: firedrill.KindCorrupt, Target: name, Detail: "is no fingerprint of exports that this version reads", Err: err, Remedy: "run the drill again"}
	}
	byName := map[string]records{}
	for _, e := range file.Exports {
		byName[e.Name] = e
	}
	return byName, nil
}
