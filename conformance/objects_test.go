package conformance

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/cloudflare/cloudflare-go/v7/durable_objects"

	"firedrill/internal/testkit/sandboxtest"
)

func TestDurableObjects(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	ctx, s := t.Context(), durable_objects.NewNamespaceService(options(t, c)...)
	c.Deploy("counters", `import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject { async fetch() { await this.ctx.storage.put("n", 1); return new Response("ok"); } }
export default { fetch(r, env) { return env.C.get(env.C.idFromName(new URL(r.url).pathname)).fetch(r); } };`,
		[]map[string]any{{"name": "C", "type": "durable_object_namespace", "class_name": "Counter"}},
		map[string]any{"migrations": map[string]any{"new_tag": "v1", "steps": []any{map[string]any{"new_sqlite_classes": []string{"Counter"}}}}})
	for i := range 25 {
		if code, text := c.Get("counters", fmt.Sprintf("/%d", i)); code != http.StatusOK {
			t.Fatal(code, text)
		}
	}
	var id string
	names := all(t, s.ListAutoPaging(ctx, fill[durable_objects.NamespaceListParams](t, c.Account, nil)), func(n durable_objects.Namespace) string {
		id = n.ID
		return fmt.Sprintf("%s %s %s %v", n.Name, n.Script, n.Class, n.UseSqlite)
	})
	expect(t, "namespaces", names, []string{"counters_Counter counters Counter true"})
	objects := all(t, s.Objects.ListAutoPaging(ctx, id, fill[durable_objects.NamespaceObjectListParams](t, c.Account, map[string]any{"Limit": 10.0})), func(o durable_objects.DurableObject) string {
		if !o.HasStoredData {
			t.Errorf("object %s has stored nothing", o.ID)
		}
		return o.ID
	})
	expect(t, "objects in pages of ten", len(objects), 25)
	_, err := s.Objects.List(ctx, strings.Repeat("0", 32), fill[durable_objects.NamespaceObjectListParams](t, c.Account, nil))
	refused(t, err, http.StatusNotFound, 10066)
}

func TestDurableObjectNamespaces(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	ctx, s := t.Context(), durable_objects.NewNamespaceService(options(t, c)...)
	const source = `import { DurableObject } from "cloudflare:workers";
export class A extends DurableObject {} export class B extends DurableObject {} export class C extends DurableObject {}
export default { fetch() { return new Response("ok"); } };`
	classes := []string{"A", "B", "C"}
	for _, worker := range []string{"one", "two"} {
		c.Deploy(worker, source, nil, map[string]any{"migrations": map[string]any{"new_tag": "v1", "steps": []any{map[string]any{"new_sqlite_classes": classes}}}})
	}
	ids := map[string]bool{}
	names := all(t, s.ListAutoPaging(ctx, fill[durable_objects.NamespaceListParams](t, c.Account, map[string]any{"PerPage": int64(2)})), func(n durable_objects.Namespace) string {
		ids[n.ID] = true
		return n.Name
	})
	slices.Sort(names)
	expect(t, "namespaces in pages of two", names, []string{"one_A", "one_B", "one_C", "two_A", "two_B", "two_C"})
	expect(t, "ids", len(ids), 6)
	for id := range ids {
		expect(t, "objects of a class that nobody called", len(all(t, s.Objects.ListAutoPaging(ctx, id, fill[durable_objects.NamespaceObjectListParams](t, c.Account, nil)),
			func(o durable_objects.DurableObject) string { return o.ID })), 0)
		for _, limit := range []float64{9, 10001} {
			_, err := s.Objects.List(ctx, id, fill[durable_objects.NamespaceObjectListParams](t, c.Account, map[string]any{"Limit": limit}))
			refused(t, err, http.StatusBadRequest, 10026)
		}
		break
	}
}
