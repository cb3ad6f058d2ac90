package http

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"firedrill"
	"firedrill/internal/action"
)

// Export is a route that gives all records of something; a plan's exports with
// the address of their resource.
type Export struct {
	Name    string           `json:"name,omitempty" doc:"how it is shown; its address if left out"`
	URL     string           `json:"url" doc:"address"`
	Key     string           `json:"key" doc:"field that names a record"`
	Of      string           `json:"of,omitempty" doc:"what it exports"`
	Records string           `json:"records,omitempty" doc:"field of the object that holds the list; records if left out"`
	Redact  []string         `json:"redact,omitempty" doc:"fields whose values are never shown"`
	Headers firedrill.Values `json:"headers,omitempty" doc:"headers to send; a value is a string or a reference to a secret"`
}

func (e Export) name() string {
	if e.Name != "" {
		return e.Name
	}
	return e.URL
}

// Bounds of an export: of one answer in bytes, and of the answers that it comes in.
const (
	maxPage  = 64 << 20
	maxPages = 100_000
)

// exportsOf gives the exports of one thing; of all where none is named.
func exportsOf(op string, all []Export, of string) ([]Export, error) {
	var some []Export
	for _, e := range all {
		if of == "" || e.Of == of {
			some = append(some, e)
		}
	}
	if len(some) == 0 {
		return nil, &firedrill.Error{Op: op, Kind: firedrill.KindExpectation, Target: "exports", Detail: "there are none, so nothing can be shown",
			Remedy: "name a route under exports of a Worker in the plan"}
	}
	return some, nil
}

// fresh gives a pack whose every request has a connection of its own, because a
// connection may stick to one version or one replica. A transport of another kind,
// as tests have, is kept as it is.
func (p *pack) fresh() *pack {
	client := *p.client
	if t, ok := client.Transport.(*http.Transport); ok {
		t = t.Clone()
		t.DisableKeepAlives = true
		client.Transport = t
	}
	return &pack{secrets: p.secrets, client: &client}
}

// read gives all records of an export, whatever number of answers they come in.
func (p *pack) read(ctx context.Context, e Export) (records, error) {
	out := records{Name: e.name(), byKey: map[string]int{}}
	u, err := url.Parse(e.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return out, &firedrill.Error{Op: "http", Kind: firedrill.KindUsage, Target: e.name(), Detail: fmt.Sprintf("%q is not an http address", e.URL), Remedy: "set the url of the resource in the plan"}
	}
	seen := map[string]bool{}
	for range maxPages {
		body, lines, err := p.page(ctx, e, u)
		if err != nil {
			return out, err
		}
		next, err := out.add(e, body, lines)
		if err != nil {
			return out, broken(e, err.Error())
		}
		if next == "" {
			return out, nil
		}
		if seen[next] {
			return out, broken(e, fmt.Sprintf("it gives the cursor %q twice, so it does not end", next))
		}
		seen[next] = true
		q := u.Query()
		q.Set("cursor", next)
		u.RawQuery = q.Encode()
	}
	return out, broken(e, "it does not end")
}

// broken is an export that cannot be compared.
func broken(e Export, detail string) error {
	return &firedrill.Error{Op: "http", Kind: firedrill.KindExpectation, Target: e.name(), Detail: detail, Remedy: "correct the route, or its exports in the plan"}
}

// page asks once; lines tells that it answers with a record a line.
func (p *pack) page(ctx context.Context, e Export, u *url.URL) (body []byte, lines bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, false, &firedrill.Error{Op: "http", Kind: firedrill.KindUsage, Target: e.name(), Err: err, Remedy: "correct the export in the plan"}
	}
	headers, err := action.Probe{Path: e.name(), Headers: e.Headers}.ResolveHeaders(ctx, p.secrets)
	if err != nil {
		return nil, false, err
	}
	req.Header.Set("Cache-Control", "no-cache")
	req.Header.Set("User-Agent", "firedrill")
	for k, v := range headers {
		req.Header.Set(k, v)
	}
	unavailable := func(detail string, err error) error {
		return &firedrill.Error{Op: "http", Kind: firedrill.KindUnavailable, Target: e.name(), Detail: detail, Err: cause(err), Remedy: "look at the service"}
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, false, unavailable("no answer", err)
	}
	defer resp.Body.Close() //nolint:errcheck // what was read is what counts
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxPage+1))
	switch {
	case err != nil:
		return nil, false, unavailable("the answer broke off", err)
	case len(body) > maxPage:
		return nil, false, &firedrill.Error{Op: "http", Kind: firedrill.KindUnsupported, Target: e.name(), Detail: fmt.Sprintf("one answer is longer than %d bytes", maxPage), Remedy: "give the export in pages, with next"}
	case resp.StatusCode != http.StatusOK:
		return nil, false, broken(e, fmt.Sprintf("status %d, expected 200", resp.StatusCode))
	}
	if how := cached(resp.Header); how != "" {
		return nil, false, broken(e, "the answer comes from a cache ("+how+"), which says nothing about what is there now")
	}
	media := resp.Header.Get("Content-Type")
	return body, strings.Contains(media, "ndjson") || strings.Contains(media, "jsonl"), nil
}

// cached says by what an answer shows that it was kept somewhere.
func cached(h http.Header) string {
	if age, err := strconv.ParseInt(h.Get("Age"), 10, 64); err == nil && age > 0 {
		return "Age: " + h.Get("Age")
	}
	if s := h.Get("CF-Cache-Status"); s == "HIT" || s == "STALE" || s == "UPDATING" {
		return "CF-Cache-Status: " + s
	}
	return ""
}

// add takes the records of one answer and gives the cursor of the next, "" if
// there is none.
func (r *records) add(e Export, body []byte, lines bool) (next string, err error) {
	if !utf8.Valid(body) {
		return "", fmt.Errorf("the answer is not UTF-8, so it cannot be told apart from what replaces its bytes")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if lines {
		for {
			var one json.RawMessage
			if err := dec.Decode(&one); err == io.EOF {
				return "", nil
			} else if err != nil {
				return "", fmt.Errorf("the answer is not a JSON document a line: %w", err)
			}
			if err := r.record(e, one); err != nil {
				return "", err
			}
		}
	}
	var whole json.RawMessage
	if err := dec.Decode(&whole); err != nil {
		return "", fmt.Errorf("the answer is not JSON: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return "", fmt.Errorf("the answer is more than one JSON document, and its Content-Type is not application/x-ndjson")
	}
	if whole[0] == '{' {
		return r.object(e, whole)
	}
	return "", r.list(e, whole)
}

// object takes an answer {records: […], next: …}.
func (r *records) object(e Export, whole json.RawMessage) (next string, err error) {
	fields, err := members(whole)
	if err != nil {
		return "", err
	}
	name := e.Records
	if name == "" {
		name = "records"
	}
	for _, f := range fields {
		switch f.name {
		case name:
			err = r.list(e, f.raw)
		case "next":
			if string(f.raw) != "null" {
				next = string(f.raw)
				if f.raw[0] == '"' {
					err = json.Unmarshal(f.raw, &next)
				}
			}
		}
		if err != nil {
			return "", err
		}
	}
	for _, f := range fields {
		if f.name == name {
			return next, nil
		}
	}
	return "", fmt.Errorf("the answer is an object without %q; name the field that holds the list: records: …", name)
}

func (r *records) list(e Export, raw json.RawMessage) error {
	var list []json.RawMessage
	if raw[0] != '[' {
		return fmt.Errorf("the records are no list")
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return err
	}
	for _, one := range list {
		if err := r.record(e, one); err != nil {
			return err
		}
	}
	return nil
}
