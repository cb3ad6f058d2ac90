package cloudflare

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"firedrill"
	"firedrill/internal/action/cloudflare/versionshim"
)

// workerActions are the actions on Workers.
func (p *pack) workerActions() []firedrill.Action {
	return []firedrill.Action{p.workerFind(), p.workerPin(), p.workerUploadBad(), p.workerDeployBad(), p.workerRollback(), p.workerCompare(), p.workerDefuse(), p.workerLandmines(),
		p.workerFound(), p.workerPoint(), p.workerServe(), p.workerServes()}
}

// share is one version of a deployment and its part of the traffic.
type share struct {
	Version    string  `json:"version_id"`
	Percentage float64 `json:"percentage"`
}

// deployment is what serves since a moment.
type deployment struct {
	ID       string  `json:"id"`
	Created  string  `json:"created_on"`
	Versions []share `json:"versions"`
}

// serves tells whether a deployment is exactly this split.
func (d deployment) serves(split []share) bool {
	if len(d.Versions) != len(split) {
		return false
	}
	for _, s := range split {
		if !slices.Contains(d.Versions, s) {
			return false
		}
	}
	return true
}

// version is one uploaded version of a Worker.
type version struct {
	ID          string            `json:"id"`
	Number      int64             `json:"number"`
	Annotations map[string]string `json:"annotations"`
	Metadata    struct {
		Created string `json:"created_on"`
	} `json:"metadata"`
	Resources struct {
		Bindings []map[string]any `json:"bindings"`
		Script   struct {
			Etag      string          `json:"etag"`
			Handlers  []string        `json:"handlers"`
			Placement json.RawMessage `json:"placement"`
		} `json:"script"`
		Runtime struct {
			CompatibilityDate  string          `json:"compatibility_date"`
			CompatibilityFlags []string        `json:"compatibility_flags"`
			UsageModel         string          `json:"usage_model"`
			Limits             json.RawMessage `json:"limits"`
			CacheOptions       json.RawMessage `json:"cache_options"`
		} `json:"script_runtime"`
	} `json:"resources"`
}

// tagKey is the annotation by which a drill finds its own versions again.
const tagKey = "workers/tag"

// badTag and cleanTag name the versions that a run uploads; both follow from
// the run alone, so an undo knows them before they exist.
func badTag(run string) string   { return "drill-bad-" + runHash(run) }
func cleanTag(run string) string { return "drill-clean-" + runHash(run) }

func runHash(run string) string {
	sum := sha256.Sum256([]byte(run))
	return hex.EncodeToString(sum[:5])
}

// script speaks about one Worker.
type script struct {
	c    *Client
	name string
	op   string
	say  func(string)
}

func (p *pack) script(call firedrill.Call, op, name string) (script, error) {
	c, err := p.client(call)
	if name == "" && err == nil {
		err = &firedrill.Error{Op: op, Kind: firedrill.KindUsage, Target: "input worker", Detail: "is empty"}
	}
	return script{c, name, op, notify(call)}, err
}

func (s script) request(method string, segments ...string) Request {
	return Request{Op: s.op, Target: "Worker " + s.name, Method: method, Notify: s.say, Ids: []ID{{Kind: "worker", Value: s.name}},
		Path: s.c.AccountPath(append([]string{"workers", "scripts", s.name}, segments...)...)}
}

func (s script) get(ctx context.Context, out any, ids []ID, segments ...string) error {
	req := s.request(http.MethodGet, segments...)
	req.Ids = append(req.Ids, ids...)
	resp, err := s.c.Do(ctx, req)
	if err != nil {
		return err
	}
	return resp.Decode(req, out)
}

// deployments gives all deployments, the newest first; the order is that of
// their times, not of the list.
func (s script) deployments(ctx context.Context) ([]deployment, error) {
	var out struct {
		Deployments []deployment `json:"deployments"`
	}
	if err := s.get(ctx, &out, nil, "deployments"); err != nil {
		return nil, err
	}
	if len(out.Deployments) == 0 {
		return nil, &firedrill.Error{Op: s.op, Kind: firedrill.KindConflict, Target: "Worker " + s.name, Detail: "is not deployed", Remedy: "deploy it: npx wrangler deploy"}
	}
	slices.SortStableFunc(out.Deployments, func(a, b deployment) int { return strings.Compare(b.Created, a.Created) })
	return out.Deployments, nil
}

// versions gives the newest versions, the newest first.
func (s script) versions(ctx context.Context) ([]version, error) {
	var out struct {
		Items []version `json:"items"`
	}
	if err := s.get(ctx, &out, nil, "versions"); err != nil {
		return nil, err
	}
	if len(out.Items) == 0 {
		return nil, &firedrill.Error{Op: s.op, Kind: firedrill.KindConflict, Target: "Worker " + s.name, Detail: "has no versions"}
	}
	slices.SortStableFunc(out.Items, func(a, b version) int { return int(b.Number - a.Number) })
	return out.Items, nil
}

// tagged finds the version that carries a tag; ok is false if there is none.
func (s script) tagged(ctx context.Context, tag string) (v version, ok bool, err error) {
	all, err := s.versions(ctx)
	for _, v := range all {
		if v.Annotations[tagKey] == tag {
			return v, true, nil
		}
	}
	return version{}, false, err
}

func (s script) version(ctx context.Context, id string) (version, error) {
	var v version
	err := s.get(ctx, &v, []ID{{Kind: "version", Value: id}}, "versions", id)
	if err == nil && v.ID != id {
		err = &firedrill.Error{Op: s.op, Kind: firedrill.KindCorrupt, Target: "Worker " + s.name, Detail: fmt.Sprintf("asked for version %s, the answer is about %q", id, v.ID)}
	}
	return v, err
}

// content gives the modules of a version and the name of its main module.
func (s script) content(ctx context.Context, id string) (modules []versionshim.Module, main string, err error) {
	req := s.request(http.MethodGet, "content", "v2")
	req.Query, req.Raw = url.Values{"version": {id}}, true
	req.Ids = append(req.Ids, ID{Kind: "version", Value: id})
	resp, err := s.c.Do(ctx, req)
	if err != nil {
		return nil, "", err
	}
	bad := func(err error) error {
		return &firedrill.Error{Op: s.op, Kind: firedrill.KindCorrupt, Target: "Worker " + s.name, Detail: "its modules cannot be read", Err: err}
	}
	_, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		return nil, "", bad(fmt.Errorf("the answer is no form (%s)", resp.Header.Get("Content-Type")))
	}
	r := multipart.NewReader(bytes.NewReader(resp.Body), params["boundary"])
	for {
		part, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, "", bad(err)
		}
		data, err := io.ReadAll(part)
		if err != nil {
			return nil, "", bad(err)
		}
		// The library strips folders from file names; modules need them.
		_, disposition, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
		if err != nil {
			return nil, "", bad(err)
		}
		modules = append(modules, versionshim.Module{Name: disposition["name"], ContentType: part.Header.Get("Content-Type"), Data: data})
	}
	if len(modules) == 0 {
		return nil, "", bad(errors.New("there are none"))
	}
	return modules, resp.Header.Get("Cf-Entrypoint"), nil
}

// upload uploads modules as a new version that takes every binding, secrets
// included, and all settings from a recorded version. It is not deployed.
func (s script) upload(ctx context.Context, like version, modules []versionshim.Module, main, tag, message string) (string, error) {
	ids := []ID{{Kind: "version", Value: like.ID}}
	bindings := []map[string]any{}
	for _, b := range like.Resources.Bindings {
		name, _ := b["name"].(string)
		bindings = append(bindings, map[string]any{"type": "inherit", "name": name, "version_id": like.ID})
		ids = append(ids, boundIDs(b)...)
	}
	rt := like.Resources.Runtime
	metadata := map[string]any{"main_module": main, "compatibility_date": rt.CompatibilityDate, "compatibility_flags": append([]string{}, rt.CompatibilityFlags...),
		"bindings": bindings, "keep_assets": true, "annotations": map[string]string{tagKey: tag, "workers/message": message}}
	for key, raw := range map[string]json.RawMessage{"limits": rt.Limits, "cache_options": rt.CacheOptions, "placement": like.Resources.Script.Placement} {
		if len(raw) > 0 && string(raw) != "{}" && string(raw) != "null" {
			metadata[key] = raw
		}
	}
	if rt.UsageModel != "" {
		metadata["usage_model"] = rt.UsageModel
	}
	body, contentType, err := uploadForm(metadata, modules)
	if err != nil {
		return "", &firedrill.Error{Op: s.op, Kind: firedrill.KindInternal, Target: "Worker " + s.name, Err: err}
	}
	req := s.request(http.MethodPost, "versions")
	req.Query, req.Body, req.ContentType = url.Values{"bindings_inherit": {"strict"}}, body, contentType
	req.Ids = append(req.Ids, ids...)
	resp, err := s.c.Do(ctx, req)
	if err != nil {
		return "", err
	}
	var v struct {
		ID string `json:"id"`
	}
	if err := resp.Decode(req, &v); err != nil {
		return "", err
	}
	return v.ID, nil
}

func uploadForm(metadata map[string]any, modules []versionshim.Module) ([]byte, string, error) {
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	data, err := json.Marshal(metadata)
	if err != nil {
		return nil, "", err
	}
	add := func(disposition, contentType string, data []byte) error {
		h := textproto.MIMEHeader{"Content-Disposition": {disposition}}
		if contentType != "" {
			h.Set("Content-Type", contentType)
		}
		w, err := form.CreatePart(h)
		if err == nil {
			_, err = w.Write(data)
		}
		return err
	}
	if err := add(`form-data; name="metadata"`, "", data); err != nil {
		return nil, "", err
	}
	for _, m := range modules {
		if err := add(mime.FormatMediaType("form-data", map[string]string{"name": m.Name, "filename": m.Name}), m.ContentType, m.Data); err != nil {
			return nil, "", err
		}
	}
	if err := form.Close(); err != nil {
		return nil, "", err
	}
	return b.Bytes(), form.FormDataContentType(), nil
}

// deploy makes a split serve. Code of Durable Objects is replaced at once:
// otherwise drill code could outlive its rollback by minutes.
func (s script) deploy(ctx context.Context, split []share, objects bool, message string) error {
	body := map[string]any{"strategy": "percentage", "versions": split, "annotations": map[string]string{"workers/message": message}}
	if objects {
		body["code_update_strategy"] = map[string]string{"mode": "immediate"}
	}
	data, err := json.Marshal(body)
	if err != nil {
		return &firedrill.Error{Op: s.op, Kind: firedrill.KindInternal, Err: err}
	}
	req := s.request(http.MethodPost, "deployments")
	req.Body = data
	for _, v := range split {
		req.Ids = append(req.Ids, ID{Kind: "version", Value: v.Version})
	}
	_, err = s.c.Do(ctx, req)
	return err
}

// workerClaim claims a Worker.
func workerClaim(write bool) func(firedrill.Values) []firedrill.Claim {
	return func(in firedrill.Values) []firedrill.Claim {
		name, _ := in["worker"].(string)
		return []firedrill.Claim{{Resource: "worker:" + name, Write: write}}
	}
}
