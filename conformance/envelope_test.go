package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"testing"

	"github.com/cloudflare/cloudflare-go/v7/option"
)

// The SDK decides by the status alone, wrangler by "success" alone, and neither
// compares the two or the numbers of a page. checkEnvelopes does, for each answer
// of each test.

type envelope struct {
	Success *bool
	Errors  *[]struct {
		Code    int
		Message string
	}
	Messages *[]any
	Result   json.RawMessage
	Info     *struct {
		Page       int
		PerPage    int `json:"per_page"`
		Count      *int
		TotalCount int `json:"total_count"`
		TotalPages int `json:"total_pages"`
	} `json:"result_info"`
}

// wrong is what contradicts itself in an answer.
func (e envelope) wrong(status int) (found []string) {
	if e.Success == nil || e.Errors == nil || e.Messages == nil || len(e.Result) == 0 {
		return []string{"one of success, errors, messages and result is missing"}
	}
	refused := status >= http.StatusBadRequest
	if refused == *e.Success {
		found = append(found, fmt.Sprintf("status %d with success %t", status, *e.Success))
	}
	if refused == (len(*e.Errors) == 0) {
		found = append(found, fmt.Sprintf("status %d with %d errors", status, len(*e.Errors)))
	}
	for _, one := range *e.Errors {
		if one.Code < 1000 || one.Message == "" { // the platform's smallest code
			found = append(found, fmt.Sprintf("error %+v", one))
		}
	}
	if refused && string(e.Result) != "null" {
		found = append(found, "a refusal with a result")
	}
	return append(found, e.wrongPage()...)
}

func (e envelope) wrongPage() (found []string) {
	if e.Info == nil {
		return nil
	}
	list := e.Result
	var inner struct{ Items, Buckets json.RawMessage }
	if json.Unmarshal(e.Result, &inner) == nil {
		list = append(append(json.RawMessage{}, inner.Items...), inner.Buckets...)
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(list, &elements); err != nil {
		return []string{"a page that holds no list"}
	}
	i := e.Info
	if i.Count == nil || *i.Count != len(elements) {
		found = append(found, fmt.Sprintf("a page of %d counts itself wrong", len(elements)))
	}
	if i.Page > 0 && i.PerPage > 0 {
		if pages := (i.TotalCount + i.PerPage - 1) / i.PerPage; i.TotalPages != pages {
			found = append(found, fmt.Sprintf("%d entries in pages of %d are said to be %d pages", i.TotalCount, i.PerPage, i.TotalPages))
		}
		if want := max(0, min(i.PerPage, i.TotalCount-(i.Page-1)*i.PerPage)); len(elements) != want {
			found = append(found, fmt.Sprintf("page %d has %d entries, want %d", i.Page, len(elements), want))
		}
	}
	return found
}

func isJSON(h http.Header) bool {
	media, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && media == "application/json"
}

// checkEnvelopes looks at each answer before the SDK does. What a value or an
// object holds is its owner's, so those are passed over.
func checkEnvelopes(t testing.TB) option.RequestOption {
	return option.WithMiddleware(func(r *http.Request, next option.MiddlewareNext) (*http.Response, error) {
		resp, err := next(r)
		if err != nil {
			return resp, err
		}
		raw := r.Method == http.MethodGet && (strings.Contains(r.URL.Path, "/values/") || strings.Contains(r.URL.Path, "/objects/"))
		if !isJSON(resp.Header) || raw && resp.StatusCode < http.StatusBadRequest {
			return resp, nil
		}
		data, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			return nil, err
		}
		resp.Body = io.NopCloser(bytes.NewReader(data))
		var e envelope
		if err := json.Unmarshal(data, &e); err != nil {
			t.Errorf("%s %s: %v in %.300s", r.Method, r.URL.Path, err, data)
			return resp, nil
		}
		for _, f := range e.wrong(resp.StatusCode) {
			t.Errorf("%s %s: %s: %.300s", r.Method, r.URL.Path, f, data)
		}
		return resp, nil
	})
}
