package cloudflare

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"strings"
)

// textKind marks a text in which any id may stand: the value of a variable.
const textKind = "text"

// bodyIDs are the resources that a body refers to. Bodies that are the user's own
// data refer to nothing; the code of a Worker is not read.
func bodyIDs(req Request) ([]ID, error) {
	switch {
	case carriesData(req.Path):
		return nil, nil
	case req.Stream != nil:
		return nil, errors.New("it is a stream")
	case len(bytes.TrimSpace(req.Body)) == 0:
		return nil, nil
	}
	media, params, err := mime.ParseMediaType(req.ContentType)
	if req.ContentType == "" {
		media, err = "application/json", nil
	}
	if err != nil {
		return nil, err
	}
	if media == "application/json" {
		return jsonIDs(req, req.Body)
	}
	if !strings.HasPrefix(media, "multipart/") {
		return nil, errors.New("it is " + media)
	}
	var ids []ID
	r := multipart.NewReader(bytes.NewReader(req.Body), params["boundary"])
	for {
		part, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return ids, nil
		}
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(part)
		if err != nil {
			return nil, err
		}
		// Only this part says what the version binds; the others are modules.
		if name := part.FormName(); name != "metadata" && name != "settings" {
			continue
		}
		found, err := jsonIDs(req, data)
		if err != nil {
			return nil, err
		}
		ids = append(ids, found...)
	}
}

// jsonIDs are the resources that a JSON value refers to.
func jsonIDs(req Request, data []byte) ([]ID, error) {
	var v any
	if err := decodeStrictly(data, &v); err != nil {
		return nil, err
	}
	var ids []ID
	if f, below, ok := familyOf(req.Path); ok && len(below) <= 1 && f.name != "" {
		// Making something, or calling it something else.
		if m, is := v.(map[string]any); is {
			if name, is := m[f.name].(string); is {
				ids = append(ids, ID{f.kind, name})
			}
		}
	}
	return append(ids, valueIDs(v)...), nil
}

// valueIDs walks a value: objects may be bindings, and any text may hold an id.
func valueIDs(v any) []ID {
	var ids []ID
	switch v := v.(type) {
	case string:
		return []ID{{textKind, v}}
	case []any:
		for _, x := range v {
			ids = append(ids, valueIDs(x)...)
		}
	case map[string]any:
		ids = boundIDs(v)
		for key, x := range v {
			ids = append(append(ids, ID{textKind, key}), valueIDs(x)...)
		}
	}
	return ids
}

// boundIDs are the resources that a binding refers to, so that a guard sees them.
func boundIDs(b map[string]any) []ID {
	kinds := map[string]string{"database_id": "d1", "database_name": "d1", "namespace_id": "kv", "service": "worker", "script": "worker", "script_name": "worker",
		"bucket_name": "r2", "queue_name": "queue", "index_name": "vectorize", "workflow_name": "workflow", "namespace": "dispatch-namespace"}
	switch b["type"] {
	case "d1":
		kinds["id"] = "d1"
	case "hyperdrive":
		kinds["id"] = "hyperdrive"
	case "plain_text":
		kinds["text"] = textKind
	}
	var ids []ID
	for key, kind := range kinds {
		if v, ok := b[key].(string); ok && v != "" {
			ids = append(ids, ID{Kind: kind, Value: v})
		}
	}
	return ids
}
