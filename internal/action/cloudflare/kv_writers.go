package cloudflare

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/backup"
)

// A namespace has no bookmark: that nobody writes is told by its list of keys,
// and by the values of as many as can be read often.
const (
	watchedKeys   = 10_000 // ten pages of the list
	watchedValues = 1000   // ten bulk reads
)

// keysAndValues is a namespace as somebody else writes into it. Firedrill's own
// keys are left out.
type keysAndValues struct{ ns *KV }

func (k keysAndValues) String() string { return "KV namespace " + k.ns.Title }

func (k keysAndValues) state(ctx context.Context) (state, partial string, err error) {
	keys, more, err := k.keys(ctx)
	if err != nil {
		return "", "", err
	}
	sum := sha256.New()
	fold := json.NewEncoder(sum)
	names := make([]string, 0, min(len(keys), watchedValues))
	for _, key := range keys {
		if err := fold.Encode(key); err != nil {
			return "", "", err
		}
		if len(names) < watchedValues {
			names = append(names, key.Name)
		}
	}
	unread := 0
	for some := range slices.Chunk(names, backup.MaxBulkGet) {
		values, err := k.ns.BulkGet(ctx, some)
		if errors.Is(err, backup.ErrTooLarge) {
			unread += len(some)
			continue
		}
		if err != nil {
			return "", "", err
		}
		if err := fold.Encode(values); err != nil {
			return "", "", err
		}
	}
	switch {
	case more:
		partial = fmt.Sprintf("the first %s of KV namespace %s were watched, and the values of %s", count(len(keys), "key"), k.ns.Title, grouped(int64(len(names)-unread)))
	case len(names)-unread < len(keys):
		partial = fmt.Sprintf("the values of %s of %s of KV namespace %s were watched; a write that changes another value and nothing else is not seen",
			grouped(int64(len(names)-unread)), count(len(keys), "key"), k.ns.Title)
	}
	return hex.EncodeToString(sum.Sum(nil)), partial, nil
}

// keys lists the first keys of the namespace; more tells that there are further
// ones. It counts those of others only: firedrill's own come and go, and must not
// move the last one that is watched.
func (k keysAndValues) keys(ctx context.Context) (keys []backup.Key, more bool, err error) {
	for cursor := ""; ; {
		page, next, err := k.ns.List(ctx, cursor)
		if err != nil {
			return nil, false, err
		}
		keys = append(keys, slices.DeleteFunc(page, func(key backup.Key) bool { return strings.HasPrefix(key.Name, ownKeys) })...)
		switch {
		case len(keys) > watchedKeys, len(keys) == watchedKeys && next != "":
			return keys[:watchedKeys], true, nil
		case next == "":
			return keys, false, nil
		}
		cursor = next
	}
}

func (p *pack) kvWriters(ctx context.Context, op string, call firedrill.Call, namespace string, windowMS, patience int64) (writers, error) {
	ns, err := p.namespace(ctx, op, call, namespace)
	if err != nil {
		return writers{}, err
	}
	return newWriters(op, call, ns.c, keysAndValues{ns}, windowMS, patience)
}

type kvWatchIn struct {
	Namespace string `json:"namespace" doc:"id of the namespace"`
	WindowMS  int64  `json:"window_ms,omitempty" doc:"milliseconds to watch; 500 on a loopback address and 10,000 elsewhere if left out"`
}

func (p *pack) kvWatchWrites() firedrill.Action {
	const name = "kv.watch-writes"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: claimKV(false),
		Doc: "Watch a namespace for a while and tell whether anybody writes: whether its list of keys, or the values of the first 1,000, change. A write that the platform shows late is seen late, or not at all; that only a part could be watched is said. It is over as soon as a write is seen."},
		func(ctx context.Context, call firedrill.Call, in kvWatchIn) (action.Result[watchWritesOut], error) {
			w, err := p.kvWriters(ctx, name, call, in.Namespace, in.WindowMS, 0)
			if err != nil {
				return action.Result[watchWritesOut]{}, err
			}
			return w.watch(ctx)
		})
}

type kvStillIn struct {
	Namespace string `json:"namespace" doc:"id of the namespace"`
	WindowMS  int64  `json:"window_ms,omitempty" doc:"milliseconds in which nobody may write; 500 on a loopback address and 10,000 elsewhere if left out"`
	Patience  int64  `json:"patience,omitempty" doc:"seconds until writers have to have stopped; 15 on a loopback address and 120 elsewhere if left out"`
}

func (p *pack) kvAwaitStill() firedrill.Action {
	const name = "kv.await-still"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: claimKV(false), Timeout: time.Hour,
		Doc: "Prove that nobody writes to a namespace, as far as kv.watch-writes can tell: nothing may change for a whole window. Writers may learn late that they are to stop; where somebody still writes when patience is over, the step fails."},
		func(ctx context.Context, call firedrill.Call, in kvStillIn) (action.Result[stillOut], error) {
			w, err := p.kvWriters(ctx, name, call, in.Namespace, in.WindowMS, in.Patience)
			if err != nil {
				return action.Result[stillOut]{}, err
			}
			return w.still(ctx)
		})
}

type kvAgainIn struct {
	Namespace string `json:"namespace" doc:"id of the namespace"`
	Seen      bool   `json:"seen" doc:"output seen of kv.watch-writes: somebody wrote before the writers were stopped"`
	Patience  int64  `json:"patience,omitempty" doc:"seconds in which somebody has to write; 15 on a loopback address and 120 elsewhere if left out"`
}

func (p *pack) kvAwaitWrites() firedrill.Action {
	const name = "kv.await-writes"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: claimKV(false), Timeout: time.Hour,
		Doc: "Prove that writers of a namespace go on, as far as kv.watch-writes can tell: something must change before patience is over, else the step fails. Where nobody was seen writing before they were stopped this cannot be shown, and it says so."},
		func(ctx context.Context, call firedrill.Call, in kvAgainIn) (action.Result[awaitWritesOut], error) {
			w, err := p.kvWriters(ctx, name, call, in.Namespace, 0, in.Patience)
			if err != nil {
				return action.Result[awaitWritesOut]{}, err
			}
			return w.again(ctx, in.Seen)
		})
}
