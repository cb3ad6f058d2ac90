//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strings"
)

// binding is one of a Worker's in an upload.
type binding map[string]string

// deploy makes what the Workers need and deploys them, over the API, as a
// client would. A Worker must come after those that it calls.
func (s *sandboxSide) deploy(ctx context.Context, project []script) error {
	for _, sc := range project {
		bindings := []binding{}
		if sc.D1 {
			var db struct{ UUID string }
			if err := s.call(ctx, http.MethodPost, "/d1/database", "application/json", strings.NewReader(`{"name":"bench"}`), &db); err != nil {
				return err
			}
			bindings = append(bindings, binding{"name": "DB", "type": "d1", "id": db.UUID})
		}
		if sc.KV {
			var ns struct{ ID string }
			if err := s.call(ctx, http.MethodPost, "/storage/kv/namespaces", "application/json", strings.NewReader(`{"title":"bench"}`), &ns); err != nil {
				return err
			}
			bindings = append(bindings, binding{"name": "KV", "type": "kv_namespace", "namespace_id": ns.ID})
		}
		for _, name := range sc.Services {
			bindings = append(bindings, binding{"name": strings.ToUpper(name), "type": "service", "service": name})
		}
		contentType, body, err := form(sc.Source, bindings)
		if err != nil {
			return err
		}
		if err := s.call(ctx, http.MethodPut, "/workers/scripts/"+sc.Name, contentType, body, nil); err != nil {
			return err
		}
	}
	return nil
}

// form is the upload of a Worker of one module.
func form(source string, bindings []binding) (contentType string, _ io.Reader, err error) {
	metadata, err := json.Marshal(map[string]any{"main_module": "index.js", "compatibility_date": compatibilityDate, "bindings": bindings})
	if err != nil {
		return "", nil, err
	}
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for _, part := range []struct{ disposition, contentType, data string }{
		{`form-data; name="metadata"`, "application/json", string(metadata)},
		{`form-data; name="index.js"; filename="index.js"`, "application/javascript+module", source},
	} {
		p, err := w.CreatePart(textproto.MIMEHeader{"Content-Disposition": {part.disposition}, "Content-Type": {part.contentType}})
		if err != nil {
			return "", nil, err
		}
		if _, err := io.WriteString(p, part.data); err != nil {
			return "", nil, err
		}
	}
	return w.FormDataContentType(), &body, w.Close()
}

// call calls the sandbox's API, below its account.
func (s *sandboxSide) call(ctx context.Context, method, path, contentType string, body io.Reader, result any) error {
	req, err := http.NewRequestWithContext(ctx, method, s.API+"/accounts/"+s.Account+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.Token)
	req.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it has been read, or its error returned
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var envelope struct {
		Success bool
		Result  json.RawMessage
	}
	if err := json.Unmarshal(answer, &envelope); err != nil || !envelope.Success {
		return fmt.Errorf("%s %s: %s %.500s", method, path, resp.Status, answer)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(envelope.Result, result)
}
