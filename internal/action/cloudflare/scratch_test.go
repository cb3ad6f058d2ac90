package cloudflare

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"firedrill"
	"firedrill/internal/backup"
)

// guardOfProduction gives the guard of a production environment beside another one
// that names a database.
func guardOfProduction() *Guard {
	production := firedrill.Environment{Name: "production", Class: firedrill.ClassProduction, Settings: firedrill.Values{"account": testAccount}}
	other := firedrill.Environment{Name: "staging", Class: firedrill.ClassStaging, Settings: firedrill.Values{"account": testAccount},
		Resources: map[string]firedrill.Resource{"db": {Kind: "d1", Attrs: firedrill.Values{"name": ScratchPrefix + "theirs"}}}}
	return GuardPlan(map[string]firedrill.Environment{"production": production, "staging": other})(production)
}

// TestARestoreTestIsSafeInProduction makes scratch resources in production, fills
// and deletes them, and changes nothing else.
func TestARestoreTestIsSafeInProduction(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	ctx := t.Context()
	live := p.create("live", "CREATE TABLE t(x); INSERT INTO t VALUES(1)")
	c := p.client(t, guardOfProduction())
	d, err := c.D1(ctx, "test", live, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := backup.Folder(filepath.Join(t.TempDir(), "b"))
	if _, err := backup.WriteD1(ctx, d, dir, writeOptions(d, backup.MethodAuto)); err != nil {
		t.Fatal(err)
	}
	b, err := backup.Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateD1(ctx, "test", "ours", nil); firedrill.KindOf(err) != firedrill.KindGuard {
		t.Errorf("an ordinary database: %v", err)
	}
	name := ScratchPrefix + "0123"
	to, err := c.CreateD1Scratch(ctx, "test", name, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateD1Scratch(ctx, "test", name, nil); firedrill.KindOf(err) != firedrill.KindConflict {
		t.Errorf("a name that is taken: %v", err)
	}
	if _, err := b.RestoreD1(ctx, to, restoreOptions()); err != nil {
		t.Fatal(err)
	}
	if err := d.Exec(ctx, "DROP TABLE t"); firedrill.KindOf(err) != firedrill.KindGuard {
		t.Errorf("the live database: %v", err)
	}
	sql := backup.Body{Size: 7, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("SELECT;")), nil }}
	if err := d.Import(ctx, sql); firedrill.KindOf(err) != firedrill.KindGuard {
		t.Errorf("an import into the live database: %v", err)
	}
	// What has the prefix and was not made by this client is somebody else's.
	p.create(ScratchPrefix+"foreign", "")
	if err := c.DeleteD1Scratch(ctx, "test", ScratchPrefix+"foreign", nil); firedrill.KindOf(err) != firedrill.KindGuard {
		t.Errorf("a stranger's scratch database: %v", err)
	}
	if _, err := c.CreateD1Scratch(ctx, "test", ScratchPrefix+"theirs", nil); firedrill.KindOf(err) != firedrill.KindGuard || !strings.Contains(err.Error(), "staging") {
		t.Errorf("another environment's name: %v", err)
	}
	if err := c.DeleteD1Scratch(ctx, "test", "live", nil); firedrill.KindOf(err) != firedrill.KindGuard {
		t.Errorf("a name without the prefix: %v", err)
	}
	if err := c.DeleteD1Scratch(ctx, "test", name, nil); err != nil {
		t.Error(err)
	}
	if err := c.DeleteD1Scratch(ctx, "test", name, nil); err != nil {
		t.Errorf("once more: %v", err)
	}
	if n := p.count(); n != 2 {
		t.Errorf("%d databases are left", n)
	}

	ns, err := c.CreateKVScratch(ctx, "test", ScratchPrefix+"kv", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := ns.putPairs(ctx, "test", []kvCanary{{Key: strings.Repeat("ab", 16), Value: live}}); err != nil {
		t.Errorf("its keys and values may look like ids: %v", err)
	}
	if err := ns.deleteKeys(ctx, "test", []string{strings.Repeat("ab", 16)}); err != nil {
		t.Error(err)
	}
	if _, err := c.CreateKVScratch(ctx, "test", "sessions", nil); firedrill.KindOf(err) != firedrill.KindGuard {
		t.Errorf("an ordinary namespace: %v", err)
	}
	if err := c.DeleteKVScratch(ctx, "test", "sessions", nil); firedrill.KindOf(err) != firedrill.KindGuard {
		t.Errorf("an ordinary namespace: %v", err)
	}
	if err := c.DeleteKVScratch(ctx, "test", ScratchPrefix+"kv", nil); err != nil {
		t.Error(err)
	}
	if _, err := c.KV(ctx, "test", ScratchPrefix+"kv", nil); firedrill.KindOf(err) != firedrill.KindNotFound {
		t.Errorf("afterwards: %v", err)
	}
}

// TestNothingElsePassesTheGuardOfProduction tries requests that look like those of
// a restore test.
func TestNothingElsePassesTheGuardOfProduction(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	c := p.client(t, guardOfProduction())
	d, err := c.CreateD1Scratch(t.Context(), "test", ScratchPrefix+"mine", nil)
	if err != nil {
		t.Fatal(err)
	}
	ns, err := c.CreateKVScratch(t.Context(), "test", ScratchPrefix+"mine", nil)
	if err != nil {
		t.Fatal(err)
	}
	live := p.create("live", "")
	own := []ID{{"d1", d.ID}, {"d1", d.Name}}
	base, kv := c.AccountPath("d1", "database"), c.AccountPath("storage", "kv", "namespaces")
	create := func(body string, ids ...ID) Request {
		return Request{Method: http.MethodPost, Path: base, Body: []byte(body), Ids: ids}
	}
	name := ScratchPrefix + "x"
	refused := map[string]Request{
		"a live database":              {Method: http.MethodDelete, Path: base + "/" + live, Ids: []ID{{"d1", live}}},
		"mine declared, theirs meant":  {Method: http.MethodDelete, Path: base + "/" + live, Ids: append([]ID{{"d1", live}}, own...)},
		"another one declared too":     {Method: http.MethodDelete, Path: base + "/" + d.ID, Ids: append([]ID{{"d1", live}}, own...)},
		"the wrong kind declared":      {Method: http.MethodDelete, Path: base + "/" + d.ID, Ids: []ID{{"d1", d.ID}, {"kv", d.Name}}},
		"rename":                       {Method: http.MethodPatch, Path: base + "/" + d.ID, Ids: own},
		"time travel":                  {Method: http.MethodPost, Path: base + "/" + d.ID + "/time_travel/restore", Ids: own},
		"a query in the path":          {Method: http.MethodDelete, Path: base + "/" + d.ID, Ids: own, Query: map[string][]string{"id": {"x"}}},
		"a longer path":                {Method: http.MethodPost, Path: base + "/" + d.ID + "/raw/../" + "x", Ids: own},
		"a raw body with more in it":   {Method: http.MethodPost, Path: base + "/" + d.ID + "/raw", Ids: own, Body: []byte(`{"batch":[],"database":"` + live + `"}`)},
		"an import of another":         {Method: http.MethodPost, Path: base + "/" + d.ID + "/import", Ids: own, Body: []byte(`{"action":"init","etag":"x","database_id":"` + live + `"}`)},
		"two bodies":                   {Method: http.MethodPost, Path: base + "/" + d.ID + "/raw", Ids: own, Body: []byte(`{"batch":[]}{"batch":[]}`)},
		"a stream as a raw body":       {Method: http.MethodPost, Path: base + "/" + d.ID + "/raw", Ids: own, Stream: &Stream{}},
		"an ordinary name":             create(`{"name":"live"}`, ID{"d1", "live"}),
		"the prefix alone":             create(`{"name":"`+ScratchPrefix+`"}`, ID{"d1", ScratchPrefix}),
		"a name that is not declared":  create(`{"name":"live"}`, ID{"d1", name}),
		"another name declared":        create(`{"name":"`+name+`"}`, ID{"d1", "live"}),
		"another id in the body":       create(`{"name":"`+name+`","clone_of":"`+live+`"}`, ID{"d1", name}),
		"a Worker that binds it":       {Method: http.MethodPut, Path: c.AccountPath("workers", "scripts", ScratchPrefix+"mine"), Ids: append([]ID{{"worker", name}}, own...), Body: []byte(live)},
		"a namespace's settings":       {Method: http.MethodPut, Path: kv + "/" + ns.ID, Ids: []ID{{"kv", ns.ID}}},
		"a database among namespaces":  {Method: http.MethodDelete, Path: kv + "/" + d.ID, Ids: own},
		"a namespace among databases":  {Method: http.MethodDelete, Path: base + "/" + ns.ID, Ids: []ID{{"kv", ns.ID}}},
		"nothing declared":             {Method: http.MethodPost, Path: base, Body: []byte(`{"name":"` + name + `"}`)},
		"no id":                        {Method: http.MethodDelete, Path: base + "/", Ids: own},
		"a path that begins like ours": {Method: http.MethodPost, Path: base + "s", Body: []byte(`{"name":"` + name + `"}`), Ids: []ID{{"d1", name}}},
	}
	for what, req := range refused {
		req.Op = "test"
		if err := c.check(req); err == nil {
			t.Errorf("%s: passes", what)
		} else if k := firedrill.KindOf(err); k != firedrill.KindGuard && k != firedrill.KindInternal {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, req := range map[string]Request{
		"create": create(`{"name":"`+name+`"}`, ID{"d1", name}),
		"delete": {Method: http.MethodDelete, Path: base + "/" + d.ID, Ids: own},
		"raw":    {Method: http.MethodPost, Path: base + "/" + d.ID + "/raw", Ids: own, Body: []byte(`{"batch":[{"sql":"SELECT 1"}]}`)},
	} {
		req.Op = "test"
		if err := c.check(req); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	// A second client of the same environment knows nothing of the first one's.
	if err := p.client(t, guardOfProduction()).check(Request{Op: "test", Method: http.MethodDelete, Path: base + "/" + d.ID, Ids: own}); firedrill.KindOf(err) != firedrill.KindGuard {
		t.Errorf("another client's: %v", err)
	}
}

// TestAScratchWhoseAnswerWasLostIsKnown lets the creation happen and the answer
// get lost.
func TestAScratchWhoseAnswerWasLostIsKnown(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	lost := false
	p.bending(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost || lost {
			return false
		}
		lost = true
		var in struct{ Name, Title string }
		if json.NewDecoder(r.Body).Decode(&in) != nil || in.Name == "" {
			return false
		}
		p.create(in.Name, "")
		w.WriteHeader(http.StatusBadGateway)
		return true
	})
	c := p.client(t, guardOfProduction())
	d, err := c.CreateD1Scratch(t.Context(), "test", ScratchPrefix+"lost", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Exec(context.Background(), "CREATE TABLE t(x)"); err != nil {
		t.Error(err)
	}
	if err := c.DeleteD1Scratch(t.Context(), "test", d.Name, nil); err != nil || p.count() != 0 {
		t.Errorf("%v, %d databases", err, p.count())
	}
}
