package cloudflare

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"firedrill"
	kvsandbox "firedrill/internal/sandbox/kv"
)

// cache makes a namespace as an application would have filled it.
func (p *platform) cache(keys int) string {
	p.t.Helper()
	ns, err := p.kv.Create("cache")
	if err != nil {
		p.t.Fatal(err)
	}
	for i := range keys {
		e := kvsandbox.Entry{Key: fmt.Sprintf("user/%03d", i), Value: []byte{byte(i), 0xff}}
		if i%2 == 0 {
			e.Value, e.Metadata = []byte("text"), json.RawMessage(`{"v":1}`)
		}
		if err := p.kv.Put(context.Background(), ns.ID, kvsandbox.API, e); err != nil {
			p.t.Fatal(err)
		}
	}
	return ns.ID
}

// entries reads a namespace behind the API's back.
func (p *platform) entries(id string) map[string]string {
	p.t.Helper()
	page, err := p.kv.List(context.Background(), id, kvsandbox.Query{})
	if err != nil || page.Cursor != "" {
		p.t.Fatal(err)
	}
	all := map[string]string{}
	for _, k := range page.Keys {
		e, _, err := p.kv.Get(context.Background(), id, k.Key, kvsandbox.Read{})
		if err != nil {
			p.t.Fatal(err)
		}
		all[k.Key] = fmt.Sprintf("%x %s %d", e.Value, e.Metadata, e.Expiration)
	}
	return all
}

func rehearseKV(t *testing.T, class firedrill.Class) (*rehearsal, *platform, string) {
	t.Helper()
	p := newPlatform(t)
	id := p.cache(50)
	b := newBench(t, p.url)
	b.call.Observers = &crew{all: map[string]firedrill.Observer{}}
	program, registry := link(t, b, class, "kv-backup-restore")
	return &rehearsal{b: b, program: program, registry: registry}, p, id
}

func (r *rehearsal) story(t *testing.T) {
	t.Helper()
	for _, rec := range r.records {
		if e, is := rec.Body.(firedrill.Ended); is {
			t.Logf("%-14s %-7s %s %v", e.Step, e.Status, e.Summary, e.Problem)
		}
	}
}

// TestTheKVDrillRunsToItsEnd runs it in place and in a scratch namespace.
func TestTheKVDrillRunsToItsEnd(t *testing.T) {
	t.Parallel()
	for _, class := range []firedrill.Class{firedrill.ClassCI, firedrill.ClassStaging} {
		t.Run(string(class), func(t *testing.T) {
			t.Parallel()
			r, p, id := rehearseKV(t, class)
			before := p.entries(id)
			end := r.run(t)
			if end.Verdict != firedrill.Passed || end.Environment != firedrill.Restored {
				r.story(t)
				t.Errorf("%+v", end)
			}
			if !maps.Equal(before, p.entries(id)) {
				t.Error("the namespace is not as before")
			}
			if list := p.kv.Namespaces(); len(list) != 1 {
				t.Errorf("left behind: %+v", list)
			}
		})
	}
}

// TestTheKVDrillUndoesEverythingWhenAStepFails lets each step fail after it was
// done.
func TestTheKVDrillUndoesEverythingWhenAStepFails(t *testing.T) {
	t.Parallel()
	program, _ := link(t, newBench(t, "http://127.0.0.1:1"), firedrill.ClassCI, "kv-backup-restore")
	for _, class := range []firedrill.Class{firedrill.ClassCI, firedrill.ClassStaging} {
		for _, step := range program.Steps {
			if !sampledKV(step.ID) {
				continue
			}
			t.Run(string(class)+" "+step.ID, func(t *testing.T) {
				t.Parallel()
				r, p, id := rehearseKV(t, class)
				r.fail = step.ID
				before := p.entries(id)
				end := r.run(t)
				if end.Verdict == firedrill.Passed || end.Environment != firedrill.Restored {
					r.story(t)
					t.Errorf("%+v", end)
				}
				if !maps.Equal(before, p.entries(id)) || len(p.kv.Namespaces()) != 1 {
					r.story(t)
					t.Errorf("not as before: %d keys, %d namespaces", len(p.entries(id)), len(p.kv.Namespaces()))
				}
			})
		}
	}
}

// sampledKV names the steps that are tried when not all are: of those that change
// something, and those on whose word others rely, the ones that differ most.
func sampledKV(step string) bool {
	if os.Getenv("FIREDRILL_SOAK") != "" {
		return slices.Contains([]string{"target", "canaries", "sentinel", "backup", "damage", "seen", "restore", "equal", "protect", "loss", "no-sentinel", "no-canaries"}, step)
	}
	return slices.Contains([]string{"sentinel", "damage", "restore", "equal", "no-canaries"}, step)
}

// TestACrashInTheKVDrillLeavesNothingDamaged loses the outcome of each call in
// turn and takes the run up in a new process: the sentinel goes on there.
func TestACrashInTheKVDrillLeavesNothingDamaged(t *testing.T) {
	t.Parallel()
	program, _ := link(t, newBench(t, "http://127.0.0.1:1"), firedrill.ClassCI, "kv-backup-restore")
	for _, step := range program.Steps {
		if !sampledKV(step.ID) {
			continue
		}
		t.Run(step.ID, func(t *testing.T) {
			t.Parallel()
			r, p, id := rehearseKV(t, firedrill.ClassCI)
			r.crash = step.ID
			before := p.entries(id)
			end := r.run(t)
			if !r.crashed {
				t.Fatal("the step was never called")
			}
			// Everything but the injection may be done again.
			if passed := end.Verdict == firedrill.Passed; passed == (step.ID == "damage") || end.Environment != firedrill.Restored {
				r.story(t)
				t.Errorf("%+v", end)
			}
			if !maps.Equal(before, p.entries(id)) {
				t.Errorf("not as before: %d keys", len(p.entries(id)))
			}
		})
	}
}

// TestTheKVDrillMeasuresWhatIsLost runs the shipped drill with journal, lease
// and a real clock. A write that is acknowledged and not stored is a loss, too.
func TestTheKVDrillMeasuresWhatIsLost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		class   firedrill.Class
		swallow bool // the first write is acknowledged and not stored
	}{{firedrill.ClassCI, false}, {firedrill.ClassStaging, false}, {firedrill.ClassCI, true}} {
		t.Run(fmt.Sprint(c.class, c.swallow), func(t *testing.T) {
			t.Parallel()
			r, p, id := rehearseKV(t, c.class)
			before := p.entries(id)
			p.bending(func(w http.ResponseWriter, req *http.Request) bool {
				if !c.swallow || req.Method != http.MethodPut || !strings.HasSuffix(req.URL.Path, "/000000000001") {
					return false
				}
				fmt.Fprint(w, `{"success":true,"errors":[],"messages":[],"result":null}`)
				return true
			})
			records := conduct(t, r.program, r.registry)
			if end, is := records[len(records)-1].Body.(firedrill.Finished); !is || end.Verdict != firedrill.Passed {
				t.Errorf("%+v", end)
			}
			seen, measured := false, false
			for _, rec := range records {
				switch body := rec.Body.(type) {
				case firedrill.Ended:
					if o := body.Observation; o != nil && len(o.Acks) > 0 {
						seen = true
						if o.Acks[0].Lost != c.swallow {
							t.Errorf("the first write: %+v", o.Acks[0])
						}
					}
				case firedrill.Measured:
					measured = true
					m := body.Measurement.RPO
					if m.Acknowledged == nil || m.LostBefore == nil || m.LostAfter == nil || !c.swallow && m.Actual == nil || c.swallow && *m.LostBefore == 0 {
						t.Fatalf("not measured: %+v", m)
					}
					t.Logf("%d acknowledged, %d lost before and %d after", *m.Acknowledged, *m.LostBefore, *m.LostAfter)
				}
			}
			if !seen || !measured || !maps.Equal(before, p.entries(id)) || len(p.kv.Namespaces()) != 1 {
				t.Errorf("seen %v, measured %v; %d keys and %d namespaces are left", seen, measured, len(p.entries(id)), len(p.kv.Namespaces()))
			}
		})
	}
}

// TestTheKVDrillIsNotLiedTo runs it against a cloud that lies. Each lie is told
// where the platform's own answer would be; none may end in passed.
func TestTheKVDrillIsNotLiedTo(t *testing.T) {
	t.Parallel()
	isRestore := func(r *http.Request, body []byte) bool {
		return r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/bulk") && !bytes.Contains(body, []byte("damaged by")) && bytes.Contains(body, []byte(`"user/001"`))
	}
	done := func(w http.ResponseWriter, n int) bool {
		fmt.Fprintf(w, `{"success":true,"errors":[],"messages":[],"result":{"successful_key_count":%d,"unsuccessful_keys":[]}}`, n)
		return true
	}
	// edited stores what the lie makes of the pairs, and counts all of them.
	edited := func(p *platform, id string, body []byte, edit func([]map[string]any) []map[string]any) int {
		var pairs []map[string]any
		if err := json.Unmarshal(body, &pairs); err != nil {
			t.Error(err)
		}
		n := len(pairs)
		for _, pair := range edit(pairs) {
			key, _ := pair["key"].(string)
			value, _ := pair["value"].(string)
			e := kvsandbox.Entry{Key: key, Value: []byte(value)}
			if err := p.kv.Put(context.Background(), id, kvsandbox.API, e); err != nil {
				t.Error(err)
			}
		}
		return n
	}
	lies := map[string]func(p *platform, id string) func(http.ResponseWriter, *http.Request, []byte) bool{
		"a restore that does nothing": func(*platform, string) func(http.ResponseWriter, *http.Request, []byte) bool {
			return func(w http.ResponseWriter, r *http.Request, body []byte) bool {
				return isRestore(r, body) && done(w, bytes.Count(body, []byte("\n{")))
			}
		},
		"a restore that drops one key": func(p *platform, id string) func(http.ResponseWriter, *http.Request, []byte) bool {
			return func(w http.ResponseWriter, r *http.Request, body []byte) bool {
				if !isRestore(r, body) {
					return false
				}
				// Only what was damaged shows; the rest is there already.
				return done(w, edited(p, id, body, func([]map[string]any) []map[string]any { return nil }))
			}
		},
		"a restore that drops metadata": func(p *platform, id string) func(http.ResponseWriter, *http.Request, []byte) bool {
			return func(w http.ResponseWriter, r *http.Request, body []byte) bool {
				return isRestore(r, body) && done(w, edited(p, id, body, func(all []map[string]any) []map[string]any { return all }))
			}
		},
		"a delete that leaves strangers": func(*platform, string) func(http.ResponseWriter, *http.Request, []byte) bool {
			return func(w http.ResponseWriter, r *http.Request, body []byte) bool {
				return strings.HasSuffix(r.URL.Path, "/bulk/delete") && bytes.Contains(body, []byte("stranger/")) && !bytes.Contains(body, []byte("canary/text")) && done(w, bytes.Count(body, []byte(","))+1)
			}
		},
		"damage that does not happen": func(*platform, string) func(http.ResponseWriter, *http.Request, []byte) bool {
			return func(w http.ResponseWriter, r *http.Request, body []byte) bool {
				return bytes.Contains(body, []byte("damaged by")) && done(w, bytes.Count(body, []byte(`"key":`)))
			}
		},
		"a list that hides a survivor": func(*platform, string) func(http.ResponseWriter, *http.Request, []byte) bool {
			return func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
				if !strings.HasSuffix(r.URL.Path, "/keys") || !strings.HasPrefix(r.URL.Query().Get("prefix"), sentinelPrefix) {
					return false
				}
				answer(w, []any{})
				return true
			}
		},
		"numbered keys that are not deleted": func(*platform, string) func(http.ResponseWriter, *http.Request, []byte) bool {
			return func(w http.ResponseWriter, r *http.Request, body []byte) bool {
				return strings.HasSuffix(r.URL.Path, "/bulk/delete") && bytes.Contains(body, []byte(sentinelPrefix+"run-1/000000000001")) && done(w, bytes.Count(body, []byte(","))+1)
			}
		},
		"an error with status 200": func(*platform, string) func(http.ResponseWriter, *http.Request, []byte) bool {
			return func(w http.ResponseWriter, r *http.Request, body []byte) bool {
				if isRestore(r, body) {
					fmt.Fprint(w, `{"success":false,"errors":[{"code":10001,"message":"no"}],"messages":[],"result":null}`)
					return true
				}
				return false
			}
		},
		"keys that are not accounted for": func(*platform, string) func(http.ResponseWriter, *http.Request, []byte) bool {
			return func(w http.ResponseWriter, r *http.Request, body []byte) bool {
				return isRestore(r, body) && done(w, 1)
			}
		},
	}
	for name, lie := range lies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, p, id := rehearseKV(t, firedrill.ClassCI)
			tell := lie(p, id)
			told := false
			p.mu.Lock()
			p.bend = func(w http.ResponseWriter, req *http.Request) bool {
				body, err := io.ReadAll(req.Body)
				if err != nil {
					t.Error(err)
				}
				req.Body = io.NopCloser(bytes.NewReader(body))
				if tell(w, req, body) {
					told = true
					return true
				}
				return false
			}
			p.mu.Unlock()
			end := r.run(t)
			if !told {
				t.Fatal("the lie was never told")
			}
			if end.Verdict == firedrill.Passed {
				r.story(t)
				t.Errorf("%+v", end)
			}
		})
	}
}
