package crash

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The Worker of a world is modelled: real ones are processes, which no virtual clock
// moves. The model knows versions, deployments and what is bound, and serves a
// version by comparing its code with that of the first.

type bound map[string]any

type codeVersion struct {
	ID          string
	Number      int
	Tag         string
	Created     time.Time
	Main        string
	Modules     []module
	Bindings    []bound
	Date, Usage string
}

type module struct {
	Name, Type string
	Data       []byte
}

type codeDeployment struct {
	ID      string
	Created time.Time
	Shares  []json.RawMessage // as they were sent
}

// worker is what the platform keeps of the one Worker; it is in one file, so that a
// change is there or not.
type worker struct {
	file        string
	Versions    []codeVersion    // oldest first
	Deployments []codeDeployment // oldest first
}

func openWorker(t testing.TB, dir string) *worker {
	t.Helper()
	w := &worker{file: filepath.Join(dir, "worker.json")}
	data, err := os.ReadFile(w.file)
	if err == nil {
		err = json.Unmarshal(data, w)
	} else if os.IsNotExist(err) {
		err = nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// fill deploys a first version.
func (w *worker) fill(now time.Time) error {
	first := codeVersion{Main: "index.js", Modules: []module{{"index.js", "application/javascript+module", []byte("export default { fetch() {} }")}}, Date: "2026-01-01", Usage: "standard",
		Bindings: []bound{{"type": "secret_text", "name": "KEY"}, {"type": "plain_text", "name": "MODE", "text": "test"}}}
	w.add(first, now)
	share := fmt.Sprintf(`{"version_id":%q,"percentage":100}`, w.Versions[0].ID)
	w.Deployments = []codeDeployment{{ID: "deployment-1", Created: now, Shares: []json.RawMessage{json.RawMessage(share)}}}
	return w.save()
}

func (w *worker) add(v codeVersion, now time.Time) string {
	v.Number, v.Created = len(w.Versions)+1, now
	v.ID = fmt.Sprintf("%08x-0000-4000-8000-000000000000", v.Number)
	w.Versions = append(w.Versions, v)
	return v.ID
}

func (w *worker) save() error {
	data, err := json.Marshal(w)
	if err != nil {
		return err
	}
	return os.WriteFile(w.file, data, 0o600)
}

func (w *worker) version(id string) *codeVersion {
	i := slices.IndexFunc(w.Versions, func(v codeVersion) bool { return v.ID == id })
	if i < 0 {
		return nil
	}
	return &w.Versions[i]
}

// code tells what a version is, but for its id.
func (v *codeVersion) code() string {
	sum := sha256.New()
	fmt.Fprintln(sum, v.Main, v.Bindings, v.Date, v.Usage)
	for _, m := range v.Modules {
		fmt.Fprintln(sum, m.Name, m.Type, string(m.Data))
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// serving gives the versions that serve, and their percentages.
func (w *worker) serving() (versions []*codeVersion, percent []float64) {
	for _, raw := range w.Deployments[len(w.Deployments)-1].Shares {
		var s struct {
			Version    string  `json:"version_id"`
			Percentage float64 `json:"percentage"`
		}
		_ = json.Unmarshal(raw, &s) // it was checked when it came
		versions, percent = append(versions, w.version(s.Version)), append(percent, s.Percentage)
	}
	return versions, percent
}

// healthy tells whether what serves is the first version's code.
func (w *worker) healthy() bool {
	versions, _ := w.serving()
	return !slices.ContainsFunc(versions, func(v *codeVersion) bool { return v.code() != w.Versions[0].code() })
}

// holds tells what serves and what the newest upload is, but for their ids.
func (w *worker) holds() string {
	if len(w.Versions) == 0 {
		return ""
	}
	var b strings.Builder
	versions, percent := w.serving()
	for i, v := range versions {
		fmt.Fprintf(&b, "serves %s at %g\n", v.code(), percent[i])
	}
	fmt.Fprintf(&b, "newest %s\n", w.Versions[len(w.Versions)-1].code())
	return b.String()
}

// serve answers a request of the API about the Worker; parts are what follows its
// name in the path.
func (w *worker) serve(rec http.ResponseWriter, r *http.Request, parts []string, now time.Time) {
	fail := func(status int, text string) {
		rec.Header().Set("Content-Type", "application/json")
		rec.WriteHeader(status)
		fmt.Fprintf(rec, `{"success":false,"errors":[{"code":10000,"message":%q}],"messages":[],"result":null}`, text)
	}
	ok := func(result any) {
		data, err := json.Marshal(map[string]any{"success": true, "errors": []any{}, "messages": []any{}, "result": result})
		if err != nil {
			fail(http.StatusInternalServerError, err.Error())
			return
		}
		rec.Header().Set("Content-Type", "application/json")
		_, _ = rec.Write(data) // into memory
	}
	switch what := r.Method + " " + parts[0]; {
	case what == "GET script-settings":
		ok(map[string]any{"logpush": false, "tags": []string{"kept"}})
	case what == "GET deployments":
		list := []any{}
		for _, d := range slices.Backward(w.Deployments) {
			list = append(list, map[string]any{"id": d.ID, "created_on": stamp(d.Created), "versions": d.Shares})
		}
		ok(map[string]any{"deployments": list})
	case what == "POST deployments":
		var d codeDeployment
		if err := json.NewDecoder(r.Body).Decode(&struct{ Versions *[]json.RawMessage }{&d.Shares}); err != nil || len(d.Shares) == 0 {
			fail(http.StatusBadRequest, "no deployment")
			return
		}
		d.ID, d.Created = fmt.Sprint("deployment-", len(w.Deployments)+1), now
		w.Deployments = append(w.Deployments, d)
		if versions, _ := w.serving(); slices.Contains(versions, nil) {
			w.Deployments = w.Deployments[:len(w.Deployments)-1]
			fail(http.StatusBadRequest, "no such version")
			return
		}
		if err := w.save(); err != nil {
			fail(http.StatusInternalServerError, err.Error())
			return
		}
		ok(map[string]any{"id": d.ID})
	case what == "GET versions" && len(parts) == 1:
		items := []any{}
		for _, v := range slices.Backward(w.Versions) {
			items = append(items, v.view())
		}
		ok(map[string]any{"items": items})
	case what == "GET versions":
		v := w.version(parts[1])
		if v == nil {
			fail(http.StatusNotFound, "no such version")
			return
		}
		ok(v.view())
	case what == "GET content":
		v := w.version(r.URL.Query().Get("version"))
		if v == nil {
			fail(http.StatusNotFound, "no such version")
			return
		}
		v.content(rec)
	case what == "POST versions":
		v, err := w.uploaded(r)
		if err != nil {
			fail(http.StatusBadRequest, err.Error())
			return
		}
		id := w.add(v, now)
		if err := w.save(); err != nil {
			fail(http.StatusInternalServerError, err.Error())
			return
		}
		ok(map[string]any{"id": id})
	default:
		fail(http.StatusNotFound, "no route "+what)
	}
}

// stamp writes a time so that the order of the texts is the order of times.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

func (v *codeVersion) view() map[string]any {
	return map[string]any{"id": v.ID, "number": v.Number, "annotations": map[string]string{"workers/tag": v.Tag}, "metadata": map[string]any{"created_on": stamp(v.Created)},
		"resources": map[string]any{"bindings": v.Bindings, "script": map[string]any{"handlers": []string{"fetch"}},
			"script_runtime": map[string]any{"compatibility_date": v.Date, "usage_model": v.Usage}}}
}

func (v *codeVersion) content(rec http.ResponseWriter) {
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	for _, m := range v.Modules {
		part, err := form.CreatePart(textproto.MIMEHeader{"Content-Disposition": {mime.FormatMediaType("form-data", map[string]string{"name": m.Name})}, "Content-Type": {m.Type}})
		if err == nil {
			_, err = part.Write(m.Data)
		}
		if err != nil {
			http.Error(rec, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	_ = form.Close() // into memory
	rec.Header().Set("Content-Type", form.FormDataContentType())
	rec.Header().Set("Cf-Entrypoint", v.Main)
	_, _ = rec.Write(b.Bytes())
}

// uploaded reads an upload; its bindings are taken from the version that it names.
func (w *worker) uploaded(r *http.Request) (codeVersion, error) {
	var v codeVersion
	form, err := r.MultipartReader()
	if err != nil {
		return v, err
	}
	for {
		part, err := form.NextRawPart()
		if err == io.EOF { //nolint:errorlint // as the reader gives it
			return v, nil
		}
		if err != nil {
			return v, err
		}
		data, err := io.ReadAll(part)
		if err != nil {
			return v, err
		}
		if part.FormName() != "metadata" {
			v.Modules = append(v.Modules, module{part.FormName(), part.Header.Get("Content-Type"), data})
			continue
		}
		var meta struct {
			Main        string            `json:"main_module"`
			Date        string            `json:"compatibility_date"`
			Usage       string            `json:"usage_model"`
			Annotations map[string]string `json:"annotations"`
			Bindings    []struct {
				Type, Name string
				Version    string `json:"version_id"`
			}
		}
		if err := json.Unmarshal(data, &meta); err != nil {
			return v, err
		}
		v.Main, v.Date, v.Usage, v.Tag = meta.Main, meta.Date, meta.Usage, meta.Annotations["workers/tag"]
		for _, b := range meta.Bindings {
			from := w.version(b.Version)
			i := -1
			if from != nil {
				i = slices.IndexFunc(from.Bindings, func(x bound) bool { return x["name"] == b.Name })
			}
			if b.Type != "inherit" || i < 0 {
				return v, fmt.Errorf("binding %s cannot be inherited", b.Name)
			}
			v.Bindings = append(v.Bindings, from.Bindings[i])
		}
	}
}
