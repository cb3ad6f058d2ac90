package faults

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"firedrill/internal/action/cloudflare"
	"firedrill/internal/backup"
	"firedrill/internal/testkit/sandboxtest"
)

// soak tells whether everything is tried, and not a sample.
func soak() bool { return os.Getenv("FIREDRILL_SOAK") != "" }

// entry is what a key holds. It is comparable, and knows nothing of the code that
// is tested.
type entry struct {
	value, metadata string
	expiration      int64
}

// content is a namespace of more than one page and eleven bulk reads, with text,
// bytes that are none, U+FFFD itself, metadata and expirations. In parts of
// [partKeys] it is a backup of four.
func content() map[string]entry {
	in := time.Now().Unix() + 1e6
	all := map[string]entry{}
	for i := range 1030 {
		e := entry{value: fmt.Sprintf("value %d ü %s", i, strings.Repeat("x", i%200))}
		switch {
		case i%211 == 0:
			e.value = fmt.Sprintf("\xff\xfe\x00 bytes %d", i)
		case i%307 == 5:
			e.value = fmt.Sprintf("\ufffd as text %d", i)
		case i%101 == 7:
			e.value = ""
		}
		if i%13 == 0 {
			e.metadata = fmt.Sprintf(`{"i":%d}`, i)
		}
		if i%17 == 0 {
			e.expiration = in + int64(i)
		}
		all[fmt.Sprintf("key/%05d", i)] = e
	}
	return all
}

const partKeys = 300

// cloud is a sandbox that is prepared and looked at past everything that is
// tested.
type cloud struct {
	*sandboxtest.Cloud
	t testing.TB
}

func start(t testing.TB) *cloud { return &cloud{sandboxtest.Start(t), t} }

func (c *cloud) path(id string, more ...string) string {
	return "storage/kv/namespaces/" + id + strings.Join(more, "")
}

// put writes entries.
func (c *cloud) put(id string, all map[string]entry) {
	c.t.Helper()
	var pairs []map[string]any
	for k, e := range all {
		p := map[string]any{"key": k, "value": base64.StdEncoding.EncodeToString([]byte(e.value)), "base64": true}
		if e.metadata != "" {
			p["metadata"] = json.RawMessage(e.metadata)
		}
		if e.expiration != 0 {
			p["expiration"] = e.expiration
		}
		pairs = append(pairs, p)
	}
	c.Must(http.MethodPut, c.path(id, "/bulk"), pairs)
}

// filled makes a namespace that holds entries.
func (c *cloud) filled(title string, all map[string]entry) string {
	c.t.Helper()
	id := c.KV(title)
	c.put(id, all)
	return id
}

// damage changes, deletes and adds keys in every part.
func (c *cloud) damage(id string, all map[string]entry) {
	c.t.Helper()
	changed, gone := map[string]entry{}, []string{}
	for i, k := range slices.Sorted(maps.Keys(all)) {
		switch i % 40 {
		case 3:
			changed[k] = entry{value: "damaged"}
		case 8:
			gone = append(gone, k)
		case 11:
			changed[k+"/stranger"] = entry{value: "does not belong here"}
		}
	}
	c.put(id, changed)
	c.Must(http.MethodPost, c.path(id, "/bulk/delete"), gone)
}

// look reads a namespace.
func (c *cloud) look(id string) map[string]entry {
	c.t.Helper()
	all := map[string]entry{}
	for cursor := ""; ; {
		r := c.Must(http.MethodGet, c.path(id, "/keys?limit=1000&cursor=", url.QueryEscape(cursor)), nil)
		var list []struct {
			Name       string
			Expiration int64
			Metadata   json.RawMessage
		}
		r.Into(c.t, &list)
		for _, k := range list {
			all[k.Name] = entry{metadata: string(k.Metadata), expiration: k.Expiration}
		}
		var info struct{ Cursor string }
		if err := json.Unmarshal(r.ResultInfo, &info); err != nil {
			c.t.Fatal(err)
		}
		if cursor = info.Cursor; cursor == "" {
			break
		}
	}
	for names := range slices.Chunk(slices.Sorted(maps.Keys(all)), 100) {
		var out struct{ Values map[string]string }
		c.Must(http.MethodPost, c.path(id, "/bulk/get"), map[string]any{"keys": names}).Into(c.t, &out)
		for _, k := range names {
			e := all[k]
			if e.value = out.Values[k]; strings.ContainsRune(e.value, utf8.RuneError) {
				r := c.Call(http.MethodGet, sandboxtest.KVValue(id, k), "", nil)
				if r.Status != http.StatusOK {
					c.t.Fatalf("key %q: %d %.200s", k, r.Status, r.Body)
				}
				e.value = string(r.Body)
			}
			all[k] = e
		}
	}
	return all
}

// differ says where two namespaces differ; "" if they do not.
func differ(want, got map[string]entry) string {
	var all []string
	for k, w := range want {
		if g, ok := got[k]; !ok {
			all = append(all, fmt.Sprintf("%s is missing", k))
		} else if g != w {
			all = append(all, fmt.Sprintf("%s holds %.60q %s %d, want %.60q %s %d", k, g.value, g.metadata, g.expiration, w.value, w.metadata, w.expiration))
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			all = append(all, fmt.Sprintf("%s does not belong there", k))
		}
	}
	slices.Sort(all)
	if len(all) > 5 {
		all = append(all[:5], fmt.Sprintf("and %d more", len(all)-5))
	}
	return strings.Join(all, "\n")
}

// target is a namespace as a command reaches it.
type target struct {
	API, Account, Token, Namespace string
	Patience                       time.Duration // of the client; 0: its own
}

func (c *cloud) target(api, id string) target {
	return target{API: api, Account: c.Account, Token: c.Token(), Namespace: id}
}

// open reaches a namespace through a client that waits for nothing between its
// attempts.
func (g target) open(ctx context.Context) (*cloudflare.KV, error) {
	c, err := cloudflare.New(cloudflare.Config{API: g.API, Account: g.Account, Patience: g.Patience,
		Token: func(context.Context) (string, error) { return g.Token, nil },
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }})
	if err != nil {
		return nil, err
	}
	return c.KV(ctx, "test", g.Namespace, nil)
}

// backUp is what `backup kv` does.
func (g target) backUp(ctx context.Context, place backup.Place, change ...func(*backup.WriteOptions)) error {
	ns, err := g.open(ctx)
	if err != nil {
		return err
	}
	// The source is named alike whatever stands in between.
	o := backup.WriteOptions{Source: backup.Source{API: "sandbox", Account: g.Account, Namespace: ns.ID}, Tool: "test", Now: time.Now, MaxPairs: partKeys}
	for _, c := range change {
		c(&o)
	}
	_, err = backup.WriteKV(ctx, ns, place, o)
	return err
}

// restore is what `restore --mode exact` does. done tells whether all was said to
// be written, before it was compared.
func (g target) restore(ctx context.Context, place backup.Place, journal string) (done bool, err error) {
	b, err := backup.Open(ctx, place)
	if err != nil {
		return false, err
	}
	ns, err := g.open(ctx)
	if err != nil {
		return false, err
	}
	o := backup.RestoreOptions{Mode: backup.ModeExact, Now: time.Now, Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
	if o.Journal, err = backup.OpenJournal(journal, ns.ID, o.Mode); err != nil {
		return false, err
	}
	if _, err := b.RestoreKV(ctx, ns, o); err != nil {
		return false, err
	}
	_, err = b.Check(ctx, ns, o)
	return true, err
}

// complete tells what is wrong with a place that has to hold a backup of exactly
// these entries; nil if nothing is.
func complete(ctx context.Context, place backup.Place, want map[string]entry) error {
	b, err := backup.Open(ctx, place)
	if err != nil {
		return err
	}
	if err := b.Verify(ctx); err != nil {
		return err
	}
	got := map[string]entry{}
	err = b.Entries(ctx, func(e backup.Entry) error {
		got[e.Key] = entry{string(e.Value), string(e.Metadata), e.Expiration}
		return nil
	})
	if d := differ(want, got); err == nil && d != "" {
		err = errors.New("it verifies and is wrong: " + d)
	}
	if err == nil && len(b.Manifest.Noted) > 0 {
		err = fmt.Errorf("it notes what did not happen: %v", b.Manifest.Notes)
	}
	names, errNames := place.Names(ctx)
	if want := len(b.Manifest.Parts) + 1; errNames == nil && len(names) != want {
		errNames = fmt.Errorf("%d files lie there, not %d: %q", len(names), want, names)
	}
	return errors.Join(err, errNames)
}

// halfWritten fails if a place that holds no complete backup could be taken for
// one.
func halfWritten(ctx context.Context, place backup.Place) error {
	if b, err := backup.Open(ctx, place); err == nil {
		return fmt.Errorf("it holds a manifest, and verifying it says: %s", fmt.Sprint(b.Verify(ctx)))
	}
	return nil
}

// folder names a folder that is not there yet.
func folder(t testing.TB) string { return filepath.Join(t.TempDir(), "backup") }
