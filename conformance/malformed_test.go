package conformance

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/cloudflare/cloudflare-go/v7/kv"
	"github.com/cloudflare/cloudflare-go/v7/shared"
	"github.com/cloudflare/cloudflare-go/v7/workers"

	"firedrill/internal/testkit/sandboxtest"
)

// The SDK takes the metadata of a form apart: one field for each member instead
// of one JSON document. Such a form must be refused with the name of what is
// missing, and must leave everything as it was.

// module is a file of an upload with a name.
type module struct {
	io.Reader
	name string
}

func (m module) Filename() string    { return m.name }
func (m module) ContentType() string { return "application/javascript+module" }

func TestMalformedUploads(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	c.Deploy("w", "export default { fetch() { return new Response('as it was'); } };", nil, nil)
	ctx, s := t.Context(), workers.NewScriptService(options(t, c)...)
	state := func() string {
		return string(c.Must(http.MethodGet, "workers/scripts/w/versions", nil).Result) + string(c.Must(http.MethodGet, "workers/scripts/w/deployments", nil).Result) +
			string(c.Must(http.MethodGet, "workers/scripts/w/settings", nil).Result) + string(c.Must(http.MethodGet, "workers/scripts", nil).Result)
	}
	before := state()
	files := func() []io.Reader {
		return []io.Reader{module{strings.NewReader("export default { fetch() { return new Response('changed'); } };"), "index.js"}}
	}
	for name, call := range map[string]func() error{
		"Scripts.Update": func() error {
			_, err := s.Update(ctx, "w", fill[workers.ScriptUpdateParams](t, c.Account, map[string]any{"Files": files(),
				"Metadata": fill[workers.ScriptUpdateParamsMetadata](t, "", map[string]any{"MainModule": "index.js", "CompatibilityDate": "2026-04-01"})}))
			return err
		},
		"Scripts.Update of a new Worker": func() error {
			_, err := s.Update(ctx, "new", fill[workers.ScriptUpdateParams](t, c.Account, map[string]any{"Files": files(),
				"Metadata": fill[workers.ScriptUpdateParamsMetadata](t, "", map[string]any{"MainModule": "index.js"})}))
			return err
		},
		"Versions.New": func() error {
			_, err := s.Versions.New(ctx, "w", fill[workers.ScriptVersionNewParams](t, c.Account, map[string]any{"Files": files(),
				"Metadata": fill[workers.ScriptVersionNewParamsMetadata](t, "", map[string]any{"MainModule": "index.js"})}))
			return err
		},
		"Versions.New without files": func() error {
			_, err := s.Versions.New(ctx, "w", fill[workers.ScriptVersionNewParams](t, c.Account, map[string]any{
				"Metadata": fill[workers.ScriptVersionNewParamsMetadata](t, "", map[string]any{"MainModule": "index.js"})}))
			return err
		},
	} {
		err := call()
		refused(t, err, http.StatusBadRequest, 10026)
		if !strings.Contains(err.Error(), `no part \"metadata\"`) {
			t.Errorf("%s: the error does not say what is missing: %v", name, err)
		}
	}
	_, err := s.ScriptAndVersionSettings.Edit(ctx, "w", fill[workers.ScriptScriptAndVersionSettingEditParams](t, c.Account, map[string]any{
		"Settings": fill[workers.ScriptScriptAndVersionSettingEditParamsSettings](t, "", map[string]any{"CompatibilityDate": "2026-05-01"})}))
	refused(t, err, http.StatusBadRequest, 10026)
	if !strings.Contains(err.Error(), `no part \"settings\"`) {
		t.Errorf("the error does not say what is missing: %v", err)
	}
	if after := state(); after != before {
		t.Errorf("a refused upload changed\n%s\nto\n%s", before, after)
	}
	if _, text := c.Get("w", "/"); text != "as it was" {
		t.Errorf("the Worker answers %q", text)
	}
}

// TestMalformedValue: to store the value without its metadata would lose them
// silently.
func TestMalformedValue(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	id := c.KV("cache")
	c.Call(http.MethodPut, sandboxtest.KVValue(id, "k"), "", []byte("as it was"))
	s := kv.NewNamespaceValueService(options(t, c)...)
	for name, metadata := range map[string]any{"an object": map[string]any{"m": 1, "n": map[string]any{"o": true}}, "a list": []string{"a", "b"}} {
		_, err := s.Update(t.Context(), id, "k", fill[kv.NamespaceValueUpdateParams](t, c.Account, map[string]any{"Value": shared.UnionString("changed"), "Metadata": metadata}))
		refused(t, err, http.StatusBadRequest, 10012)
		if !strings.Contains(err.Error(), "metadata") {
			t.Errorf("metadata as %s: the error does not say what is wrong: %v", name, err)
		}
	}
	// A text is sent as it is, without the quotes that would make it JSON.
	_, err := s.Update(t.Context(), id, "k", fill[kv.NamespaceValueUpdateParams](t, c.Account, map[string]any{"Value": shared.UnionString("changed"), "Metadata": "text"}))
	refused(t, err, http.StatusBadRequest, 10012)
	if r := c.Call(http.MethodGet, sandboxtest.KVValue(id, "k"), "", nil); string(r.Body) != "as it was" {
		t.Errorf("after refused writes the value is %q", r.Body)
	}
}
