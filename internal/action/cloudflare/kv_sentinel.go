package cloudflare

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/backup"
	"firedrill/internal/observe"
)

// sentinelPrefix begins the keys of all sentinels. Each run has a prefix of its
// own below it, so that what another run left behind is never taken for a
// survivor.
const sentinelPrefix = ownKeys + "sentinel/"

// sentinelKeys are the sentinel's keys in a namespace: one for each number,
// because the platform takes one write a second to the same key.
type sentinelKeys struct {
	ns     *KV
	op     string
	prefix string
	settle time.Duration // until writes and deletions have to be visible
	now    func() firedrill.Stamp
	tell   func(firedrill.Progress)
}

func (p *pack) sentinelKeys(ctx context.Context, op string, call firedrill.Call, namespace string, settle int64) (sentinelKeys, error) {
	ns, err := p.namespace(ctx, op, call, namespace)
	if err != nil {
		return sentinelKeys{}, err
	}
	return sentinelKeys{ns: ns, op: op, prefix: sentinelPrefix + call.Run + "/", settle: time.Duration(settle) * time.Second, now: call.Now, tell: call.Progress}, nil
}

func (s sentinelKeys) String() string { return "KV namespace " + s.ns.Title }

// key is where a number is written; the keys stand in the order of the numbers.
func (s sentinelKeys) key(n int64) string { return fmt.Sprintf("%s%012d", s.prefix, n) }

// number reads a key.
func (s sentinelKeys) number(key string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimPrefix(key, s.prefix), 10, 64)
	if err != nil || s.key(n) != key {
		return 0, &firedrill.Error{Op: s.op, Kind: firedrill.KindCorrupt, Target: s.String(), Detail: fmt.Sprintf("key %q is not the sentinel's", key), Remedy: "see who else writes below " + sentinelPrefix}
	}
	return n, nil
}

// Write stores a number by a single put, as an application would. It is not
// repeated: an acknowledgement is one, or there is none.
func (s sentinelKeys) Write(ctx context.Context, n int64) error {
	key := s.key(n)
	req := s.ns.request(s.op, http.MethodPut, "values", key)
	req.Ids = append(req.Ids, ID{"kv-key", key})
	req.Body, req.ContentType = []byte(strconv.FormatInt(n, 10)), "text/plain"
	_, err := s.ns.c.Do(ctx, req)
	return err
}

// Survivors finds the numbers by two ways that must agree: the list of keys,
// and the values under them. A list may hide a key that is there, and show one
// that is gone, until the settle window is over: on the platform it is waited
// for first. Where both ways still disagree after a further window, nothing
// is known.
func (s sentinelKeys) Survivors(ctx context.Context, acknowledged, unanswered []int64) (map[int64]bool, error) {
	if !s.ns.c.local {
		s.tell(firedrill.Progress{Text: "waiting until writes and deletions have to be visible"})
		if err := s.ns.c.Sleep(ctx, s.settle); err != nil {
			return nil, err
		}
	}
	began := s.now()
	for {
		there, doubt, err := s.look(ctx, slices.Concat(acknowledged, unanswered))
		if err != nil || doubt == "" {
			return there, err
		}
		if waited, _ := s.now().Since(began); waited >= s.settle {
			return nil, &firedrill.Error{Op: s.op, Kind: firedrill.KindUnknown, Target: s.String(), Detail: doubt, Remedy: "run the drill again, with a larger settle if writes take longer to be seen"}
		}
		s.tell(firedrill.Progress{Text: doubt + "; looking again"})
		if err := s.ns.c.Sleep(ctx, s.ns.pause()); err != nil {
			return nil, err
		}
	}
}

// look reads which numbers are there. doubt says where list and values
// disagree; "" if nowhere.
func (s sentinelKeys) look(ctx context.Context, sent []int64) (there map[int64]bool, doubt string, err error) {
	names, err := s.ns.keysBelow(ctx, s.prefix)
	if err != nil {
		return nil, "", err
	}
	listed := map[int64]bool{}
	for _, key := range names {
		n, err := s.number(key)
		if err != nil {
			return nil, "", err
		}
		listed[n] = true
	}
	for _, n := range sent {
		if !listed[n] {
			names = append(names, s.key(n))
		}
	}
	there = map[int64]bool{}
	for start := 0; start < len(names); start += backup.MaxBulkGet {
		some := names[start:min(start+backup.MaxBulkGet, len(names))]
		texts, err := s.ns.BulkGet(ctx, some)
		if err != nil {
			return nil, "", err
		}
		for _, key := range some {
			n, err := s.number(key)
			if err != nil {
				return nil, "", err
			}
			text, found := texts[key]
			switch {
			case found && text.Value != strconv.FormatInt(n, 10):
				return nil, "", &firedrill.Error{Op: s.op, Kind: firedrill.KindCorrupt, Target: s.String(), Detail: fmt.Sprintf("key %q holds another value than was written", key), Remedy: "see who else writes below " + sentinelPrefix}
			case found && !listed[n]:
				doubt = fmt.Sprintf("number %d has a value and is not listed", n)
			case !found && listed[n]:
				doubt = fmt.Sprintf("number %d is listed and has no value", n)
			}
			there[n] = found
		}
	}
	return there, doubt, nil
}

// ignoreSentinel tells which keys a comparison leaves out: those below a
// sentinel's prefix, never any other.
func ignoreSentinel(op, prefix string) (func(string) bool, error) {
	if prefix == "" {
		return nil, nil //nolint:nilnil // nothing is left out
	}
	if run := strings.TrimPrefix(prefix, sentinelPrefix); run == prefix || len(run) < 2 || strings.Index(run, "/") != len(run)-1 {
		return nil, &firedrill.Error{Op: op, Kind: firedrill.KindUsage, Target: "input ignore", Detail: fmt.Sprintf("%q is no sentinel's prefix", prefix), Remedy: "give the output prefix of kv.sentinel"}
	}
	return func(key string) bool { return strings.HasPrefix(key, prefix) }, nil
}

type kvSentinelIn struct {
	Namespace string `json:"namespace" doc:"id of the namespace"`
	Name      string `json:"name,omitempty" doc:"name of the sentinel; \"sentinel\" if left out"`
	EveryMS   int64  `json:"every_ms,omitempty" doc:"milliseconds between two writes; 50 on a loopback address and 2,000 elsewhere if left out"`
}

type kvSentinelOut struct {
	Sentinel string `json:"sentinel" doc:"its name, for kv.sentinel-stop"`
	Prefix   string `json:"prefix" doc:"what its keys begin with, for kv.compare to leave them out"`
}

func (p *pack) kvSentinel() firedrill.Action {
	const name = "kv.sentinel"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Changes, Replay: firedrill.Idempotent, Observer: true, Claims: claimKV(true),
		Doc: "Write numbered keys below a prefix of firedrill's own, one after the other, and note which were acknowledged: what is missing after the recovery is the loss. kv.sentinel-remove takes them away."},
		func(ctx context.Context, call firedrill.Call, in kvSentinelIn) (action.Result[kvSentinelOut], error) {
			var res action.Result[kvSentinelOut]
			keys, err := p.sentinelKeys(ctx, name, call, in.Namespace, 0)
			if err != nil {
				return res, err
			}
			keys.ns.tell = nil // a sentinel outlives its call
			every, err := sentinelPace(name, in.EveryMS, keys.ns.c)
			if err != nil {
				return res, err
			}
			started, err := startSentinel(ctx, name, call, in.Name, every, keys)
			res.Out, res.Summary = kvSentinelOut{started.Out.Sentinel, keys.prefix}, started.Summary
			return res, err
		})
}

type kvSentinelRef struct {
	Namespace string `json:"namespace" doc:"id of the namespace"`
	Sentinel  string `json:"sentinel" doc:"output of kv.sentinel"`
	Settle    int64  `json:"settle" doc:"seconds until writes and deletions have to be visible"`
}

func (p *pack) kvSentinelStop() firedrill.Action {
	const name = "kv.sentinel-stop"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: claimKV(false), Timeout: time.Hour,
		Doc: "Stop the sentinel and read which of its writes are there, by the list of keys and by their values, which must agree. Elsewhere than on a loopback address it is first waited until writes and deletions have to be visible. A sentinel that acknowledged nothing measured nothing, which is an error."},
		func(ctx context.Context, call firedrill.Call, in kvSentinelRef) (action.Result[sentinelStopOut], error) {
			keys, err := p.sentinelKeys(ctx, name, call, in.Namespace, in.Settle)
			if err != nil {
				return action.Result[sentinelStopOut]{}, err
			}
			return p.stopSentinel(ctx, name, call, in.Sentinel, keys)
		})
}

type kvSentinelRemoveIn struct {
	Namespace string `json:"namespace" doc:"id of the namespace"`
	Settle    int64  `json:"settle,omitempty" doc:"seconds for which what was deleted may still be listed: it is looked again until then"`
	Sentinel  string `json:"sentinel,omitempty" doc:"name of the sentinel; \"sentinel\" if left out"`
}

func (p *pack) kvSentinelRemove() firedrill.Action {
	const name = "kv.sentinel-remove"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Changes, Replay: firedrill.Idempotent, Claims: claimKV(true),
		Doc: "Take the sentinel's keys away, and look for them again. A sentinel that still runs is stopped first."},
		func(ctx context.Context, call firedrill.Call, in kvSentinelRemoveIn) (action.Result[kvCanaryOut], error) {
			keys, err := p.sentinelKeys(ctx, name, call, in.Namespace, in.Settle)
			if err != nil {
				return action.Result[kvCanaryOut]{}, err
			}
			// Every number that was ever given: a write whose answer was lost may
			// be there, too, and not be listed yet.
			var known []string
			for n := range observe.EndSentinel(call, in.Sentinel) {
				known = append(known, keys.key(n+1))
			}
			res, err := keys.ns.removeBelow(ctx, name, call, keys.prefix, known, keys.settle)
			if err == nil && res.Checks[0].OK {
				res.Summary = count(res.Out.Keys, "numbered key") + " removed"
			}
			return res, err
		})
}
