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
)

type kvDamageIn struct {
	Namespace string `json:"namespace" doc:"id of the namespace"`
	Backup    string `json:"backup" doc:"output backup of kv.backup: what is damaged can be put back from it"`
	Keys      int64  `json:"keys" doc:"keys to damage at most"`
}

type kvDamageOut struct {
	File        string `json:"file" doc:"file that lists until the run is over what was done, for kv.compare"`
	Deleted     int64  `json:"deleted" doc:"keys deleted"`
	Overwritten int64  `json:"overwritten" doc:"keys overwritten: values, metadata, expirations"`
	Strangers   int64  `json:"strangers" doc:"keys added that the backup does not hold"`
}

// kvDone is what was done, by keys.
type kvDone struct {
	Deleted     []string `json:"deleted"`
	Overwritten []string `json:"overwritten"`
	Strangers   []string `json:"strangers"`
}

func (d kvDone) keys() map[string]bool {
	all := map[string]bool{}
	for _, list := range [][]string{d.Deleted, d.Overwritten, d.Strangers} {
		for _, k := range list {
			all[k] = true
		}
	}
	return all
}

func (p *pack) kvDamage() firedrill.Action {
	const name = "kv.damage"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Damages, Replay: firedrill.Never, Claims: claimKV(true),
		Doc: "Damage a namespace: of keys spread over a backup, some are deleted and some overwritten (value, metadata, expiration), and strangers are added. Nothing is touched that the verified backup does not hold, that expires within a day, or that a sentinel wrote."},
		func(ctx context.Context, call firedrill.Call, in kvDamageIn) (action.Result[kvDamageOut], error) {
			var res action.Result[kvDamageOut]
			if in.Keys < 3 {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindUsage, Detail: "fewer than 3 keys cannot show anything", Remedy: "give keys: 3 or more"}
			}
			most := call.Environment.Limits.Keys
			if err := withinCap(name, "namespace "+in.Namespace, "keys", 3, most); err != nil {
				return res, err
			}
			b, err := openBackup(ctx, call, in.Backup)
			if err != nil {
				return res, err
			}
			done, err := chooseDamage(ctx, b, capped(min(in.Keys, backup.MaxPairs), most), call.Now().Wall)
			if err != nil {
				return res, err
			}
			file := call.Step + ".json"
			data, err := json.MarshalIndent(done, "", "  ")
			if err != nil {
				return res, err
			}
			// Written before anything is damaged: it says where to look. The keys may be
			// among those that the plan hides.
			if err := savePrivate(call, file, data); err != nil {
				return res, err
			}
			ns, err := p.namespace(ctx, name, call, in.Namespace)
			if err != nil {
				return res, err
			}
			var pairs []kvCanary
			for _, k := range append(append([]string{}, done.Overwritten...), done.Strangers...) {
				pairs = append(pairs, kvCanary{Key: k, Value: "damaged by " + call.Op, Metadata: map[string]any{"damaged": call.Op}})
			}
			if err := ns.putPairs(ctx, name, pairs); err != nil {
				return res, err
			}
			if err := ns.deleteKeys(ctx, name, done.Deleted); err != nil {
				return res, err
			}
			res.Out = kvDamageOut{file, int64(len(done.Deleted)), int64(len(done.Overwritten)), int64(len(done.Strangers))}
			res.Summary = fmt.Sprintf("%s deleted, %d overwritten, %d strangers", count(res.Out.Deleted, "key"), res.Out.Overwritten, res.Out.Strangers)
			return res, nil
		})
}

// longLife is how long a key must live to be damaged: one that expires during
// the drill could neither be found nor be put back.
const longLife = 24 * time.Hour

// chooseDamage picks keys that are spread evenly over a backup. What a sentinel
// wrote tells the loss and is left alone.
func chooseDamage(ctx context.Context, b *backup.Backup, most int64, now time.Time) (kvDone, error) {
	// Each walk verifies every byte of what it shows, also the second one.
	visit := func(each func(key string)) error {
		return b.Entries(ctx, func(e backup.Entry) error {
			if !strings.HasPrefix(e.Key, sentinelPrefix) && (e.Expiration == 0 || e.Expiration > now.Add(longLife).Unix()) {
				each(e.Key)
			}
			return nil
		})
	}
	eligible := int64(0)
	if err := visit(func(string) { eligible++ }); err != nil {
		return kvDone{}, err
	}
	third := most / 3
	step := max(1, eligible/(2*third))
	var done kvDone
	at := int64(0)
	err := visit(func(key string) {
		if at%step == 0 {
			switch {
			case int64(len(done.Deleted)) < third && (at/step)%2 == 0:
				done.Deleted = append(done.Deleted, key)
			case int64(len(done.Overwritten)) < third:
				done.Overwritten = append(done.Overwritten, key)
			}
		}
		at++
	})
	if err != nil {
		return kvDone{}, err
	}
	for i := range third {
		done.Strangers = append(done.Strangers, fmt.Sprintf("%sstranger/%d", ownKeys, i))
	}
	if len(done.Deleted) == 0 || len(done.Overwritten) == 0 {
		return kvDone{}, &firedrill.Error{Op: "kv.damage", Kind: firedrill.KindUsage, Target: b.Place.String(), Detail: "the backup holds too few keys to damage", Remedy: "write canaries first"}
	}
	return done, nil
}
