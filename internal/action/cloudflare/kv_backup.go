package cloudflare

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/backup"
	"firedrill/internal/fingerprint"
)

type kvBackupIn struct {
	Namespace string `json:"namespace" doc:"id of the namespace"`
}

type kvBackupOut struct {
	Backup   string `json:"backup" doc:"the backup's folder in the run's folder"`
	Keys     int64  `json:"keys" doc:"keys in it"`
	Bytes    int64  `json:"bytes" doc:"bytes of values"`
	Digest   string `json:"digest" doc:"sum of the digests of all entries"`
	Vanished int64  `json:"vanished" doc:"keys that went while it ran"`
	Changed  int64  `json:"changed" doc:"keys that changed while it ran"`
}

func (p *pack) kvBackup() firedrill.Action {
	const name = "kv.backup"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: claimKV(false), Timeout: time.Hour,
		Doc: "Back up a namespace into the run's folder, exact in values, metadata and expirations. A backup that was cut off is gone on with."},
		func(ctx context.Context, call firedrill.Call, in kvBackupIn) (action.Result[kvBackupOut], error) {
			var res action.Result[kvBackupOut]
			ns, err := p.namespace(ctx, name, call, in.Namespace)
			if err != nil {
				return res, err
			}
			m, err := ns.backUp(ctx, call, call.Step)
			if err != nil {
				return res, err
			}
			res.Out = kvBackupOut{call.Step, m.Keys, m.Bytes, m.Digest.String(), m.Noted[backup.Vanished] + m.Noted[backup.Expired], m.Noted[backup.Changed]}
			res.Summary = count(m.Keys, "key") + " backed up"
			return res, nil
		})
}

// backUp writes a backup into the run's folder, or finishes one.
func (k *KV) backUp(ctx context.Context, call firedrill.Call, folder string) (backup.Manifest, error) {
	dir, err := artefact(call, folder)
	if err != nil {
		return backup.Manifest{}, err
	}
	if err := makeDir(call); err != nil {
		return backup.Manifest{}, err
	}
	if b, err := backup.Open(ctx, backup.Folder(dir)); err == nil && b.Manifest.Source == k.Source() && b.Verify(ctx) == nil {
		return b.Manifest, nil // this very step wrote it, and its answer was lost
	}
	return backup.WriteKV(ctx, k, backup.Folder(dir), backup.WriteOptions{Source: k.Source(), Tool: "firedrill", Now: func() time.Time { return call.Now().Wall },
		Progress: func(keys, _ int64) { call.Progress(firedrill.Progress{Text: "keys backed up", Done: keys}) }})
}

// openBackup opens a backup in the run's folder.
func openBackup(ctx context.Context, call firedrill.Call, folder string) (*backup.Backup, error) {
	dir, err := artefact(call, folder)
	if err != nil {
		return nil, err
	}
	return backup.Open(ctx, backup.Folder(dir))
}

type kvVerifyIn struct {
	Backup string `json:"backup" doc:"output backup of kv.backup"`
}

type kvVerifyOut struct {
	Keys int64 `json:"keys" doc:"keys whose entries were read"`
}

func (p *pack) kvVerifyBackup() firedrill.Action {
	const name = "kv.verify-backup"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent,
		Doc: "Check every byte of a backup, without the platform: sizes, checksums, each entry, counts and digest."},
		func(ctx context.Context, call firedrill.Call, in kvVerifyIn) (action.Result[kvVerifyOut], error) {
			var res action.Result[kvVerifyOut]
			b, err := openBackup(ctx, call, in.Backup)
			if err != nil {
				return res, err
			}
			if err := b.Verify(ctx); err != nil {
				return res, err
			}
			keys := b.Manifest.Keys
			res.Out.Keys = keys
			res.Summary = count(keys, "key") + " verified offline"
			res.Checks = []firedrill.Check{{OK: keys > 0, Compared: keys, Detail: res.Summary}}
			return res, nil
		})
}

type kvRestoreIn struct {
	Namespace string `json:"namespace" doc:"id of the namespace"`
	Backup    string `json:"backup" doc:"output backup of kv.backup"`
}

type kvRestoreOut struct {
	Put     int64    `json:"put" doc:"keys written"`
	Deleted int64    `json:"deleted" doc:"keys deleted that the backup does not hold"`
	Expired []string `json:"expired" doc:"keys of the backup that have expired since and cannot be written"`
}

func (p *pack) kvRestore() firedrill.Action {
	const name = "kv.restore"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Changes, Replay: firedrill.Idempotent, Claims: claimKV(true), Timeout: time.Hour,
		Doc: "Make a namespace exactly what a backup holds: the backup is verified, its keys are written, all others are deleted. Whether the data is back is for kv.compare to tell."},
		func(ctx context.Context, call firedrill.Call, in kvRestoreIn) (action.Result[kvRestoreOut], error) {
			var res action.Result[kvRestoreOut]
			b, err := openBackup(ctx, call, in.Backup)
			if err != nil {
				return res, err
			}
			ns, err := p.namespace(ctx, name, call, in.Namespace)
			if err != nil {
				return res, err
			}
			if from := b.Manifest.Source; from != ns.Source() {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindUsage, Target: "KV namespace " + ns.Title,
					Detail: "the backup is of namespace " + from.Namespace, Remedy: "restore into the namespace it came from"}
			}
			out, err := b.RestoreKV(ctx, ns, backup.RestoreOptions{Mode: backup.ModeExact, Now: func() time.Time { return call.Now().Wall }, Sleep: ns.c.Sleep,
				Progress: func(done, total int64) {
					call.Progress(firedrill.Progress{Text: "keys written", Done: done, Total: total})
				}})
			if err != nil {
				return res, err
			}
			res.Out = kvRestoreOut{out.Put, out.Deleted, []string{}}
			res.Summary = fmt.Sprintf("%s written, %d strangers deleted", count(out.Put, "key"), out.Deleted)
			hide := namespaceRules(call.Environment)
			for _, k := range out.ExpiredKeys {
				res.Out.Expired = append(res.Out.Expired, hide.plain(k))
				res.Collateral = append(res.Collateral, hide.name(k)+" expired between the backup and the restore")
			}
			return res, nil
		})
}

type kvCompareIn struct {
	Namespace string `json:"namespace" doc:"id of the namespace"`
	Backup    string `json:"backup" doc:"output backup of kv.backup"`
	// Damage turns the comparison round: it must find what was done.
	Damage string `json:"damage,omitempty" doc:"output file of kv.damage: everything in it must be found different; without it nothing may differ"`
	Ignore string `json:"ignore,omitempty" doc:"output prefix of kv.sentinel: what the sentinel writes is left out on both sides, and nothing else"`
	Settle int64  `json:"settle" doc:"seconds for which writes may not be visible yet: it is looked again until then"`
	Level  string `json:"level,omitempty" doc:"full: every byte; quick: what a list shows, names, metadata and expirations, which proves nothing. full if left out"`
}

type kvCompareOut struct {
	Equal       bool     `json:"equal" doc:"something was compared and nothing differs"`
	Keys        int64    `json:"keys" doc:"keys that were compared"`
	Differing   int64    `json:"differing" doc:"keys that differ"`
	Differences []string `json:"differences" doc:"the first differences"`
	Level       string   `json:"level" doc:"full or quick"`
	Found       int64    `json:"found" doc:"with damage: damaged keys that were found different"`
	Others      int64    `json:"others" doc:"with damage: keys that differ and that the drill did not touch: the restore undoes what others wrote"`
}

func (p *pack) kvCompare() firedrill.Action {
	const name = "kv.compare"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: claimKV(false), Timeout: time.Hour,
		Doc: "Read a namespace and compare every key with a backup: bytes, metadata, expiration, and that there are no others. Comparing nothing is never success. Where something differs and somebody is seen writing, it is not known whose difference it is, which is an error. With `damage` it is the other way round: every key that was damaged must be found different."},
		func(ctx context.Context, call firedrill.Call, in kvCompareIn) (action.Result[kvCompareOut], error) {
			var res action.Result[kvCompareOut]
			level, err := levelOf(name, in.Level)
			if err != nil {
				return res, err
			}
			b, err := openBackup(ctx, call, in.Backup)
			if err != nil {
				return res, err
			}
			ns, err := p.namespace(ctx, name, call, in.Namespace)
			if err != nil {
				return res, err
			}
			done := map[string]bool{}
			if in.Damage != "" {
				var d kvDone
				data, err := loadPrivate(call, in.Damage)
				if err != nil {
					return res, err
				}
				if err := json.Unmarshal(data, &d); err != nil {
					return res, &firedrill.Error{Op: name, Kind: firedrill.KindCorrupt, Target: in.Damage, Err: err, Remedy: "run the drill again"}
				}
				done = d.keys()
			}
			ignore, err := ignoreSentinel(name, in.Ignore)
			if err != nil {
				return res, err
			}
			began := call.Now()
			for {
				diff, err := b.Compare(ctx, ns, backup.CompareOptions{Now: func() time.Time { return call.Now().Wall }, Ignore: ignore, Listed: level == fingerprint.Quick})
				if err != nil {
					return res, err
				}
				j := kvJudge{diff: diff, done: done, damage: in.Damage != "", empty: b.Manifest.Keys == 0, level: level, hide: namespaceRules(call.Environment)}
				res = j.result()
				waited, _ := call.Now().Since(began)
				switch over := waited >= time.Duration(in.Settle)*time.Second; {
				case res.Checks[0].OK, over && in.Damage != "":
					return res, nil
				case over:
					return res, theirs(ctx, name, call, ns.c, keysAndValues{ns}, res.Summary)
				}
				call.Progress(firedrill.Progress{Text: res.Summary + "; looking again, writes may take a while to be seen"})
				if err := ns.c.Sleep(ctx, settlePause); err != nil {
					return res, err
				}
			}
		})
}

// settlePause is between two looks at a namespace that may not have settled.
const settlePause = 5 * time.Second

// kvJudge says what a comparison shows.
type kvJudge struct {
	diff   backup.Difference
	done   map[string]bool // the keys that were damaged
	damage bool            // they must be found
	empty  bool            // the backup holds nothing
	level  fingerprint.Level
	hide   keyRules
}

// result gives outputs, check and collateral.
func (j kvJudge) result() action.Result[kvCompareOut] {
	var res action.Result[kvCompareOut]
	diff := j.diff
	partial := j.level == fingerprint.Quick
	res.Out = kvCompareOut{Equal: diff.Equal(), Level: string(j.level), Keys: diff.Compared, Differing: int64(len(diff.Keys)), Differences: []string{}}
	var others []string
	for _, k := range diff.Keys {
		switch {
		case j.done[k.Key]:
			res.Out.Found++
		case j.damage:
			if res.Out.Others++; len(others) < shownDifferences {
				others = append(others, j.hide.name(k.Key)+" "+k.How)
			}
		}
		if len(res.Out.Differences) < shownDifferences {
			res.Out.Differences = append(res.Out.Differences, j.describe(k))
		}
	}
	for _, k := range diff.Expired {
		res.Collateral = append(res.Collateral, j.hide.name(k)+" has expired")
	}
	check := func(ok bool, compared int64) {
		res.Checks = []firedrill.Check{{OK: ok, Compared: compared, Detail: res.Summary, Partial: partial}}
	}
	if j.damage {
		if res.Out.Others > 0 {
			text := fmt.Sprintf("%s of others that the restore undoes: %s", count(res.Out.Others, "key"), strings.Join(others, ", "))
			if more := res.Out.Others - int64(len(others)); more > 0 {
				text += fmt.Sprintf(", and %s more", grouped(more))
			}
			res.Collateral = append(res.Collateral, text)
		}
		res.Summary = fmt.Sprintf("%d of %d damaged keys found", res.Out.Found, len(j.done))
		check(len(j.done) > 0 && res.Out.Found == int64(len(j.done)), int64(len(j.done)))
		return res
	}
	if j.empty && len(diff.Keys) == 0 {
		res.Out.Equal, res.Summary = true, "empty, as in the backup"
		check(true, 1)
		return res
	}
	res.Summary = fmt.Sprintf("%s of %s equal", grouped(diff.Compared-int64(diff.Held)), count(diff.Compared, "key"))
	if diff.Equal() {
		res.Summary = fmt.Sprintf("%s of %s equal", grouped(diff.Compared), count(diff.Compared, "key"))
	}
	if len(res.Out.Differences) > 0 {
		res.Summary += "; " + res.Out.Differences[0]
	}
	if partial {
		res.Summary += "; values were not compared, so it proves nothing"
	}
	check(diff.Equal(), diff.Compared)
	return res
}

// describe says how a key differs. Of a hidden one not even digests are told.
func (j kvJudge) describe(k backup.KeyDifference) string {
	text := j.hide.name(k.Key) + " " + k.How
	if k.Detail != "" && !j.hide.hides(k.Key) {
		text += ": " + k.Detail
	}
	return text
}

type kvProtectOut struct {
	Keys int64 `json:"keys" doc:"keys in the new backup"`
}

func (p *pack) kvProtect() firedrill.Action {
	const name = "kv.protect"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Changes, Replay: firedrill.Idempotent, Claims: claimKV(true), Timeout: time.Hour,
		Doc: "Show that protection resumes after a recovery: a new key is written, and a new backup, verified offline, holds it. The key is taken away again."},
		func(ctx context.Context, call firedrill.Call, in kvCanaryIn) (action.Result[kvProtectOut], error) {
			var res action.Result[kvProtectOut]
			ns, err := p.namespace(ctx, name, call, in.Namespace)
			if err != nil {
				return res, err
			}
			key := ownKeys + "protection"
			if err := ns.putPairs(ctx, name, []kvCanary{{Key: key, Value: call.Op}}); err != nil {
				return res, err
			}
			m, err := ns.backUp(ctx, call, call.Step)
			if err != nil {
				return res, err
			}
			b, err := openBackup(ctx, call, call.Step)
			if err != nil {
				return res, err
			}
			found := false
			if err := b.Entries(ctx, func(e backup.Entry) error {
				found = found || e.Key == key && string(e.Value) == call.Op
				return nil
			}); err != nil {
				return res, err
			}
			if err := ns.deleteKeys(ctx, name, []string{key}); err != nil {
				return res, err
			}
			res.Out.Keys = m.Keys
			res.Summary = "a new write is in a new backup"
			if !found {
				res.Summary = "a new write is not in a new backup"
			}
			res.Checks = []firedrill.Check{{OK: found, Compared: 1, Detail: res.Summary}}
			return res, nil
		})
}
