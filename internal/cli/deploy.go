package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"path"
	"slices"
	"strings"

	"github.com/tailscale/hujson"

	"firedrill"
	"firedrill/internal/action/cloudflare"
)

// workerConfig is what the demo reads of a wrangler.jsonc: the example's
// Workers use no more than this. A key that it does not know is an error.
type workerConfig struct {
	Schema             string            `json:"$schema"`
	Name               string            `json:"name"`
	Main               string            `json:"main"`
	CompatibilityDate  string            `json:"compatibility_date"`
	CompatibilityFlags []string          `json:"compatibility_flags"`
	WorkersDev         *bool             `json:"workers_dev"`
	PreviewURLs        *bool             `json:"preview_urls"`
	NoBundle           bool              `json:"no_bundle"`
	Rules              []any             `json:"rules"`
	Observability      map[string]any    `json:"observability"`
	Vars               map[string]string `json:"vars"`
	D1                 []struct {
		Binding       string `json:"binding"`
		DatabaseName  string `json:"database_name"`
		DatabaseID    string `json:"database_id"`
		MigrationsDir string `json:"migrations_dir"`
	} `json:"d1_databases"`
	KV []struct {
		Binding string `json:"binding"`
		ID      string `json:"id"`
	} `json:"kv_namespaces"`
	Services []struct {
		Binding    string `json:"binding"`
		Service    string `json:"service"`
		Entrypoint string `json:"entrypoint"`
	} `json:"services"`
}

// deployed is what the demo put in place.
type deployed struct{ workers, databases, namespaces int }

// deploy puts the example in place through the API, as wrangler would: its
// databases with their migrations, its KV namespaces with what they hold, then
// its Workers, those that others are bound to first.
func deploy(ctx context.Context, c *cloudflare.Client, files fs.FS) (deployed, error) {
	configs, err := readConfigs(files)
	if err != nil {
		return deployed{}, err
	}
	ids := map[string]string{}
	for _, w := range configs {
		for _, d := range w.config.D1 {
			if ids[d.DatabaseName] != "" {
				continue
			}
			id, err := deployDatabase(ctx, c, files, d.DatabaseName, path.Join(w.dir, orDefault(d.MigrationsDir, "migrations")))
			if err != nil {
				return deployed{}, err
			}
			ids[d.DatabaseName] = id
		}
	}
	namespaces, err := deployNamespaces(ctx, c, files)
	if err != nil {
		return deployed{}, err
	}
	for _, w := range configs {
		for _, n := range w.config.KV {
			if !slices.Contains(namespaces, n.ID) {
				return deployed{}, &firedrill.Error{Op: "demo.deploy", Kind: firedrill.KindConflict, Target: "Worker " + w.config.Name,
					Detail: "binds KV namespace " + n.ID + ", and those of the example have other ids here", Remedy: "use a fresh sandbox: firedrill sandbox reset"}
			}
		}
		if err := deployWorker(ctx, c, files, w, ids); err != nil {
			return deployed{}, err
		}
	}
	return deployed{len(configs), len(ids), len(namespaces)}, nil
}

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

// worker is one Worker of the example.
type worker struct {
	dir    string
	config workerConfig
}

// readConfigs finds every wrangler.jsonc; a Worker without service bindings
// comes before one that has some.
func readConfigs(files fs.FS) ([]worker, error) {
	var all []worker
	names, err := fs.Glob(files, "*/wrangler.jsonc")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		plain, err := hujson.Standardize(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		w := worker{dir: path.Dir(name)}
		dec := json.NewDecoder(bytes.NewReader(plain))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&w.config); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, w)
	}
	slices.SortStableFunc(all, func(a, b worker) int { return len(a.config.Services) - len(b.config.Services) })
	return all, nil
}

// deployDatabase makes a database and applies the migrations in the order of
// their names. One that is there already is taken as it is.
func deployDatabase(ctx context.Context, c *cloudflare.Client, files fs.FS, name, migrations string) (string, error) {
	target := "database " + name
	ids := []cloudflare.ID{{Kind: "d1", Value: name}}
	var found []struct{ UUID, Name string }
	list := cloudflare.Request{Op: "demo.deploy", Target: target, Method: http.MethodGet, Path: c.AccountPath("d1", "database"), Ids: ids}
	resp, err := c.Do(ctx, list)
	if err == nil {
		err = resp.Decode(list, &found)
	}
	if err != nil {
		return "", err
	}
	for _, d := range found {
		if d.Name == name {
			return d.UUID, nil
		}
	}
	body, err := json.Marshal(map[string]string{"name": name})
	if err != nil {
		return "", err
	}
	create := cloudflare.Request{Op: "demo.deploy", Target: target, Method: http.MethodPost, Path: c.AccountPath("d1", "database"), Body: body, Ids: ids}
	var made struct{ UUID string }
	if resp, err = c.Do(ctx, create); err == nil {
		err = resp.Decode(create, &made)
	}
	if err != nil {
		return "", err
	}
	scripts, err := fs.Glob(files, migrations+"/*.sql")
	if err != nil {
		return "", err
	}
	slices.Sort(scripts)
	for _, s := range scripts {
		text, err := fs.ReadFile(files, s)
		if err != nil {
			return "", err
		}
		body, err := json.Marshal(map[string]string{"sql": string(text)})
		if err != nil {
			return "", err
		}
		if _, err := c.Do(ctx, cloudflare.Request{Op: "demo.deploy", Target: target + ", " + path.Base(s), Method: http.MethodPost,
			Path: c.AccountPath("d1", "database", made.UUID, "query"), Body: body, Ids: []cloudflare.ID{{Kind: "d1", Value: made.UUID}}}); err != nil {
			return "", err
		}
	}
	return made.UUID, nil
}

// deployNamespaces makes a KV namespace of each file in namespaces, titled like
// the file, and writes what it holds, a body of a bulk write. One that is there
// already is taken as it is. It gives their ids.
func deployNamespaces(ctx context.Context, c *cloudflare.Client, files fs.FS) ([]string, error) {
	names, err := fs.Glob(files, "namespaces/*.json")
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, name := range names {
		title := strings.TrimSuffix(path.Base(name), ".json")
		pairs, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		id, err := deployNamespace(ctx, c, title, pairs)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func deployNamespace(ctx context.Context, c *cloudflare.Client, title string, pairs []byte) (string, error) {
	switch ns, err := c.KV(ctx, "demo.deploy", title, nil); {
	case err == nil:
		return ns.ID, nil
	case firedrill.KindOf(err) != firedrill.KindNotFound:
		return "", err
	}
	body, err := json.Marshal(map[string]string{"title": title})
	if err != nil {
		return "", err
	}
	create := cloudflare.Request{Op: "demo.deploy", Target: "KV namespace " + title, Method: http.MethodPost, Path: c.AccountPath("storage", "kv", "namespaces"),
		Body: body, Ids: []cloudflare.ID{{Kind: "kv", Value: title}}}
	resp, err := c.Do(ctx, create)
	if err != nil {
		return "", err
	}
	var made struct{ ID string }
	if err := resp.Decode(create, &made); err != nil {
		return "", err
	}
	write := create
	write.Method, write.Path, write.Body = http.MethodPut, c.AccountPath("storage", "kv", "namespaces", made.ID, "bulk"), pairs
	write.Ids = append(write.Ids, cloudflare.ID{Kind: "kv", Value: made.ID})
	if resp, err = c.Do(ctx, write); err != nil {
		return "", err
	}
	var out struct {
		Unsuccessful []string `json:"unsuccessful_keys"`
	}
	if err := resp.Decode(write, &out); err != nil {
		return "", err
	}
	if len(out.Unsuccessful) > 0 {
		return "", &firedrill.Error{Op: "demo.deploy", Kind: firedrill.KindUnavailable, Target: write.Target, Detail: "key " + out.Unsuccessful[0] + " was not written", Remedy: "try again"}
	}
	return made.ID, nil
}

func deployWorker(ctx context.Context, c *cloudflare.Client, files fs.FS, w worker, databases map[string]string) error {
	bindings := []map[string]any{}
	ids := []cloudflare.ID{{Kind: "worker", Value: w.config.Name}}
	for name, text := range w.config.Vars {
		bindings = append(bindings, map[string]any{"type": "plain_text", "name": name, "text": text})
	}
	for _, d := range w.config.D1 {
		bindings = append(bindings, map[string]any{"type": "d1", "name": d.Binding, "id": databases[d.DatabaseName]})
		ids = append(ids, cloudflare.ID{Kind: "d1", Value: databases[d.DatabaseName]})
	}
	for _, n := range w.config.KV {
		bindings = append(bindings, map[string]any{"type": "kv_namespace", "name": n.Binding, "namespace_id": n.ID})
		ids = append(ids, cloudflare.ID{Kind: "kv", Value: n.ID})
	}
	for _, s := range w.config.Services {
		b := map[string]any{"type": "service", "name": s.Binding, "service": s.Service}
		if s.Entrypoint != "" {
			b["entrypoint"] = s.Entrypoint
		}
		bindings = append(bindings, b)
		ids = append(ids, cloudflare.ID{Kind: "worker", Value: s.Service})
	}
	root := path.Join(w.dir, path.Dir(w.config.Main))
	metadata, err := json.Marshal(map[string]any{"main_module": path.Base(w.config.Main), "compatibility_date": w.config.CompatibilityDate,
		"compatibility_flags": append([]string{}, w.config.CompatibilityFlags...), "bindings": bindings})
	if err != nil {
		return err
	}
	body, contentType, err := uploadForm(files, root, metadata)
	if err != nil {
		return err
	}
	if _, err := c.Do(ctx, cloudflare.Request{Op: "demo.deploy", Target: "Worker " + w.config.Name, Method: http.MethodPut,
		Path: c.AccountPath("workers", "scripts", w.config.Name), Body: body, ContentType: contentType, Ids: ids}); err != nil {
		return err
	}
	_, err = c.Do(ctx, cloudflare.Request{Op: "demo.deploy", Target: "Worker " + w.config.Name, Method: http.MethodPost,
		Path: c.AccountPath("workers", "scripts", w.config.Name, "subdomain"), Body: []byte(`{"enabled":true}`), Ids: ids[:1]})
	return err
}

// uploadForm makes the body of an upload: the metadata and every JavaScript
// module below root, named by its path there.
func uploadForm(files fs.FS, root string, metadata []byte) (body []byte, contentType string, err error) {
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	part := func(name, file, kind string, data []byte) {
		if err != nil {
			return
		}
		h := textproto.MIMEHeader{}
		disposition := fmt.Sprintf("form-data; name=%q", name)
		if file != "" {
			disposition += fmt.Sprintf("; filename=%q", file)
			h.Set("Content-Type", kind)
		}
		h.Set("Content-Disposition", disposition)
		w, perr := form.CreatePart(h)
		if perr == nil {
			_, perr = w.Write(data)
		}
		err = perr
	}
	part("metadata", "", "", metadata)
	modules := 0
	werr := fs.WalkDir(files, root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(p, ".js") {
			return err
		}
		data, err := fs.ReadFile(files, p)
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(p, root+"/")
		part(name, name, "application/javascript+module", data)
		modules++
		return nil
	})
	switch {
	case werr != nil:
		return nil, "", werr
	case err != nil:
		return nil, "", err
	case modules == 0:
		return nil, "", &firedrill.Error{Op: "demo.deploy", Kind: firedrill.KindInternal, Target: root, Detail: "there is no module"}
	}
	if err := form.Close(); err != nil {
		return nil, "", err
	}
	return b.Bytes(), form.FormDataContentType(), nil
}
