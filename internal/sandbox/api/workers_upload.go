package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"mime"
	"net/http"

	"firedrill/internal/sandbox/workers"
	"firedrill/internal/sandbox/workers/form"
)

// The platform's limits for an upload: 64 MiB before compression. Parts bounds
// what one request may make us keep track of.
const (
	maxUploadBytes = 64 << 20
	maxUploadParts = 2000
)

// readUpload reads the form of an upload: a part "metadata" and the modules.
func (c workersCall) readUpload() (workers.Upload, error) {
	parts, err := form.Read(c.r.Body, c.r.Header.Get("Content-Type"), form.Limits{Parts: maxUploadParts, Bytes: maxUploadBytes})
	if errors.Is(err, form.ErrTooLarge) {
		return workers.Upload{}, &workers.Error{Op: "upload", Target: c.name(), Code: workers.CodeTooLarge, Message: "Your Worker exceeded the size limit: " + err.Error()}
	}
	if err != nil {
		return workers.Upload{}, badWorkersRequest("the upload form could not be read: %v", err)
	}
	up := workers.Upload{Source: c.source()}
	found := false
	for _, p := range parts {
		if p.Name == "metadata" && p.Filename == "" {
			if err := json.Unmarshal(p.Data, &up.Metadata); err != nil {
				return workers.Upload{}, badWorkersRequest("the part \"metadata\" is not the JSON expected: %v", err)
			}
			found = true
			continue
		}
		name := p.Filename // some clients put a counter into the name
		if name == "" {
			name = p.Name
		}
		up.Modules = append(up.Modules, workers.Module{Name: name, ContentType: p.ContentType, Data: p.Data})
	}
	if !found {
		return workers.Upload{}, badWorkersRequest("the upload form has no part \"metadata\" with the settings as one JSON document")
	}
	return up, nil
}

func (a *WorkersAPI) putScript(c workersCall) (workersReply, error) {
	up, err := c.readUpload()
	if err != nil {
		return workersReply{}, err
	}
	p, err := a.m.Put(c.r.Context(), c.name(), up)
	if err != nil {
		return workersReply{}, err
	}
	view := scriptView(p.Script, p.Version)
	view["startup_time_ms"] = p.Version.StartupMS
	return workersReply{result: view}, nil
}

func (a *WorkersAPI) postVersion(c workersCall) (workersReply, error) {
	up, err := c.readUpload()
	if err != nil {
		return workersReply{}, err
	}
	v, err := a.m.UploadVersion(c.r.Context(), c.name(), up)
	if err != nil {
		return workersReply{}, err
	}
	return workersReply{result: versionDetails(v)}, nil
}

// content sends the modules of a version as a form, with the entry point's name
// in a header.
func (a *WorkersAPI) content(c workersCall) (workersReply, error) {
	v, modules, err := a.m.Content(c.r.Context(), c.name(), c.r.URL.Query().Get("version"))
	if err != nil {
		return workersReply{}, err
	}
	parts := make([]form.Part, len(modules))
	for i, m := range modules {
		parts[i] = form.Part{Name: m.Name, Filename: m.Name, ContentType: m.ContentType, Data: m.Data}
	}
	var body bytes.Buffer
	contentType, err := form.Write(&body, parts)
	if err != nil {
		return workersReply{}, err
	}
	h := c.w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cf-Entrypoint", v.MainModule)
	h.Set("Etag", v.Etag)
	c.w.WriteHeader(http.StatusOK)
	_, _ = c.w.Write(body.Bytes()) // the client may be gone
	return workersReply{done: true}, nil
}

// readSettings reads the body of a settings change: JSON, or a form whose part
// "settings" holds it.
func (c workersCall) readSettings(into any) error {
	media, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || media != "multipart/form-data" {
		return c.decode(into)
	}
	parts, err := form.Read(c.r.Body, c.r.Header.Get("Content-Type"), form.Limits{Parts: 10, Bytes: maxWorkersJSON})
	if err != nil {
		return badWorkersRequest("the settings form could not be read: %v", err)
	}
	for _, p := range parts {
		if p.Name == "settings" {
			if err := json.Unmarshal(p.Data, into); err != nil {
				return badWorkersRequest("the part \"settings\" is not the JSON expected: %v", err)
			}
			return nil
		}
	}
	return badWorkersRequest("the settings form has no part \"settings\"")
}
