package workers_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"firedrill/internal/sandbox/workers"
)

func TestVarsJSONSecretsAndVersionMetadata(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	up := js(`export default { fetch(_, env) { return Response.json({v: env.V, j: env.J, s: env.S, m: env.M}); } };`,
		text("V", "a \"quoted\"\nline \\ ü\x01"), secret("S", "hush"),
		bind("J", "json", func(u *workers.UploadBinding) { u.JSON = json.RawMessage(`{"a":[1,null,"ü"]}`) }),
		bind("M", "version_metadata", nil))
	up.Metadata.Annotations = map[string]string{workers.AnnotationTag: "t1"}
	p := b.put("vars", up)
	_, body := b.get("vars", "/")
	var got struct {
		V, S string
		J    any
		M    map[string]string
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("%v in %q", err, body)
	}
	if got.V != "a \"quoted\"\nline \\ ü\x01" || got.S != "hush" || got.M["id"] != p.Version.ID || got.M["tag"] != "t1" || got.M["timestamp"] == "" {
		t.Errorf("got %+v", got)
	}
	if want := map[string]any{"a": []any{1.0, nil, "ü"}}; !reflect.DeepEqual(got.J, want) {
		t.Errorf("json: %v", got.J)
	}
}

func TestServiceBindingsFetchAndRPC(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	b.put("shop", js(`import { WorkerEntrypoint } from "cloudflare:workers";
export class Admin extends WorkerEntrypoint { add(a, b) { return a + b; } }
export default { fetch() { return new Response("shop v1"); } };`))
	gateway := js(`export default { async fetch(r, env) {
  if (new URL(r.url).pathname === "/rpc") return new Response(String(await env.ADMIN.add(40, 2)));
  return env.SHOP.fetch(r); } };`,
		bind("SHOP", "service", func(u *workers.UploadBinding) { u.Service = "shop" }),
		bind("ADMIN", "service", func(u *workers.UploadBinding) { u.Service, u.Entrypoint = "shop", "Admin" }))
	p := b.put("gateway", gateway)
	b.wants("gateway", "/", "shop v1")
	b.wants("gateway", "/rpc", "42")
	if v := p.Version; !reflect.DeepEqual(v.Handlers, []string{"fetch"}) {
		t.Errorf("handlers: %v", v.Handlers)
	}

	// The bound Worker changes; its caller sees the new version.
	b.put("shop", js(`import { WorkerEntrypoint } from "cloudflare:workers";
export class Admin extends WorkerEntrypoint { add(a, b) { return a * b; } }
export default { fetch() { return new Response("shop v2"); } };`))
	b.wants("gateway", "/", "shop v2")
	b.wants("gateway", "/rpc", "80")

	refs, err := b.References(t.Context(), "shop")
	if err != nil || !reflect.DeepEqual(refs.Incoming, []string{"gateway"}) {
		t.Errorf("references: %+v %v", refs, err)
	}
	wantCode(t, b.Delete(t.Context(), "shop", false), workers.CodeStillReferenced)
	// Deleting by force would leave the binding to Admin without its entry point.
	if err := b.Delete(t.Context(), "shop", true); err != nil {
		t.Fatal(err)
	}
	if status, _ := b.get("gateway", "/"); status != 500 {
		t.Errorf("a binding to a deleted Worker answers %d", status)
	}
	_, err = b.Put(t.Context(), "gateway2", js(`export default {}`, bind("X", "service", func(u *workers.UploadBinding) { u.Service = "nobody" })))
	wantCode(t, err, workers.CodeNoServiceTarget)
}

// wantCode fails the test unless err is a refusal with this code.
func wantCode(t *testing.T, err error, code workers.Code) *workers.Error {
	t.Helper()
	var e *workers.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("error is %v, want code %d", err, code)
	}
	return e
}

func TestUploadsThatCannotRunAreRefusedAndChangeNothing(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	b.put("w", says("good"))
	mod := func(f func(*workers.Upload)) workers.Upload {
		up := says("bad")
		f(&up)
		return up
	}
	for name, c := range map[string]struct {
		up   workers.Upload
		code workers.Code
		text string
	}{
		"syntax":  {js("export default {{"), workers.CodeInvalid, "Uncaught SyntaxError: Unexpected token '{'\n  at index.js:1:16"},
		"throws":  {js("throw new Error('boom')"), workers.CodeInvalid, "Uncaught Error: boom\n  at index.js:1:7"},
		"trap":    {js("throw new Error('StartUp failed')"), workers.CodeInvalid, "Uncaught Error: Start-Up failed"},
		"missing": {js("import './x.js'"), workers.CodeInvalid, `No such module "x.js"`},
		"date":    {mod(func(u *workers.Upload) { u.Metadata.CompatibilityDate = "2099-01-01" }), workers.CodeInvalid, "the newest date supported by this server binary"},
		"flag":    {mod(func(u *workers.Upload) { u.Metadata.CompatibilityFlags = []string{"zork"} }), workers.CodeInvalid, "No such compatibility flag: zork"},
		"no main": {mod(func(u *workers.Upload) { u.Metadata.MainModule = "other.js" }), workers.CodeInvalid, `No such module "other.js"`},
		"map":     {mod(func(u *workers.Upload) { u.Modules[0].ContentType = "application/source-map" }), workers.CodeInvalid, "source-map"},
		"python": {mod(func(u *workers.Upload) {
			u.Modules = append(u.Modules, workers.Module{Name: "a.py", ContentType: "text/x-python"})
		}), workers.CodeUnsupported, "Python"},
		"queue":   {js("export default {}", bind("Q", "queue", nil)), workers.CodeUnsupported, `"queue"`},
		"kv":      {js("export default {}", bind("KV", "kv_namespace", nil)), workers.CodeUnsupported, "without KV"},
		"unknown": {js("export default {}", bind("Q", "zork", nil)), workers.CodeUnsupported, `"zork"`},
		"object":  {js("export default {}", bind("O", "durable_object_namespace", func(u *workers.UploadBinding) { u.ClassName = "Counter" })), workers.CodeNoClass, "Counter"},
		"no id":   {js("export default {}", bind("DB", "d1", nil)), workers.CodeInvalid, "binding DB of type d1 must have a valid `id` specified"},
		"no db":   {js("export default {}", bind("DB", "d1", func(u *workers.UploadBinding) { u.DatabaseID = "nope" })), workers.CodeNoDatabase, "nope"},
		"inherit": {js("export default {}", bind("Q", "inherit", nil)), workers.CodeInherit, "inherit binding 'Q' is invalid"},
		"twice":   {js("export default {}", text("A", "1"), text("A", "2")), workers.CodeInvalid, "given twice"},
		"migrated": {mod(func(u *workers.Upload) {
			u.Metadata.Migrations = json.RawMessage(`{"new_tag":"v1","new_classes":["C"]}`)
		}), workers.CodeClassNotExported, "'C'"},
		"assets": {mod(func(u *workers.Upload) { u.Metadata.Assets = json.RawMessage(`{"jwt":"x"}`) }), workers.CodeUnsupported, "static assets"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := b.Put(t.Context(), "w", c.up)
			if e := wantCode(t, err, c.code); !strings.Contains(e.Message, c.text) {
				t.Errorf("message %q lacks %q", e.Message, c.text)
			}
		})
	}
	b.wants("w", "/", "good")
	page, err := b.Versions(t.Context(), "w", -1, 0)
	if err != nil || page.Total != 1 {
		t.Errorf("%d versions, %v", page.Total, err)
	}
	_, err = b.Put(t.Context(), "Bad_Name", says("x"))
	wantCode(t, err, workers.CodeInvalid)
}

func TestModuleKindsAndFolders(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	up := js("")
	up.Metadata.MainModule = "src/index.js"
	esm := "application/javascript+module"
	up.Modules = []workers.Module{
		{Name: "src/util.js", ContentType: esm, Data: []byte(`export const where = "src";`)},
		{Name: "lib/util.js", ContentType: esm, Data: []byte(`export const where = "lib";`)},
		{Name: "note.txt", ContentType: "text/plain", Data: []byte("line\n\x00\"quoted\" \\ ü")},
		{Name: "raw.bin", ContentType: "application/octet-stream", Data: []byte{0, 255, 7}},
		{Name: "old.js", ContentType: "application/javascript", Data: []byte("module.exports = {n: 5};")},
		{Name: "add.wasm", ContentType: "application/wasm", Data: []byte("\x00asm\x01\x00\x00\x00\x01\x07\x01\x60\x02\x7f\x7f\x01\x7f\x03\x02\x01\x00\x07\x07\x01\x03add\x00\x00\x0a\x09\x01\x07\x00\x20\x00\x20\x01\x6a\x0b")},
		{Name: "src/index.js.map", ContentType: "application/source-map", Data: []byte("{}")},
		{Name: "src/index.js", ContentType: esm, Data: []byte(`
import { where as a } from "./util.js"; import { where as b } from "../lib/util.js";
import note from "../note.txt"; import raw from "../raw.bin"; import old from "../old.js"; import wasm from "../add.wasm";
const add = new WebAssembly.Instance(wasm).exports.add;
export class Named { fetch() {} scheduled() {} }
export default { fetch() { return Response.json([a, b, note, [...new Uint8Array(raw)], old.n, add(2, 3)]); }, scheduled() {} };`)},
	}
	p := b.put("kinds", up)
	b.wants("kinds", "/", `["src","lib","line\n\u0000\"quoted\" \\ ü",[0,255,7],5,5]`)
	if v := p.Version; !reflect.DeepEqual(v.Handlers, []string{"fetch", "scheduled"}) ||
		!reflect.DeepEqual(v.NamedHandlers, []workers.NamedHandler{{Name: "Named", Handlers: []string{"fetch", "scheduled"}}}) {
		t.Errorf("handlers %v, named %v", v.Handlers, v.NamedHandlers)
	}
	v, modules, err := b.Content(t.Context(), "kinds", "")
	if err != nil || v.MainModule != "src/index.js" || !reflect.DeepEqual(modules, up.Modules) {
		t.Errorf("content: %v, main %s", err, v.MainModule)
	}
}

func TestServiceWorkerSyntax(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	up := workers.Upload{
		Metadata: workers.Metadata{BodyPart: "script", CompatibilityDate: "2026-04-01", Bindings: []workers.UploadBinding{text("V", "x")}},
		Modules:  []workers.Module{{Name: "script", ContentType: "application/javascript", Data: []byte(`addEventListener("fetch", e => e.respondWith(new Response("old " + V)))`)}},
	}
	b.put("old", up)
	b.wants("old", "/", "old x")
}
