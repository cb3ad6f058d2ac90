package binding

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"firedrill/internal/sandbox/r2"
)

// KindR2 is the value of HeaderKind for a bucket; the id is its name.
const KindR2 = "r2"

// The headers of the protocol between workerd's r2Bucket bindings and a bucket,
// observed on version 1.20261117.1: what is asked stands as JSON in a header
// (reads) or in front of the body (writes), and so does the answer.
const (
	headerR2Request = "Cf-R2-Request"
	headerR2Size    = "Cf-R2-Metadata-Size" // of the JSON in front of a body, in bytes
	headerR2Error   = "Cf-R2-Error"
)

// maxR2Request bounds that JSON: a delete names a thousand keys.
const maxR2Request = 2 << 20

// Buckets is what the binding needs of the object store; *r2.Store is one.
type Buckets interface {
	Bucket(ctx context.Context, name string) (r2.Bucket, error)
	Head(ctx context.Context, bucket, key string) (*r2.Object, error)
	Get(ctx context.Context, bucket, key string, r r2.Range, c r2.Condition) (*r2.Object, *r2.Content, error)
	Store(ctx context.Context, bucket string, p r2.Put, body io.Reader) (*r2.Object, error)
	Delete(ctx context.Context, bucket string, keys []string) error
	List(ctx context.Context, bucket string, q r2.Query) (r2.Page, error)
	Begin(ctx context.Context, bucket string, p r2.Put) (string, error)
	UploadPart(ctx context.Context, bucket, key, id string, number int, body io.Reader) (r2.Part, error)
	Complete(ctx context.Context, bucket, key, id string, parts []r2.Part) (*r2.Object, error)
	Abort(ctx context.Context, bucket, key, id string) error
}

// R2 speaks the protocol of workerd's r2Bucket bindings.
type R2 struct{ Buckets Buckets }

// number is an integer that the runtime writes as text or as a number.
type number int64

// UnmarshalJSON implements json.Unmarshaler.
func (n *number) UnmarshalJSON(data []byte) error {
	v, err := strconv.ParseInt(strings.Trim(string(data), `"`), 10, 64)
	*n = number(v)
	return err
}

type r2Field struct {
	K string `json:"k"`
	V string `json:"v"`
}

type r2HTTP struct {
	ContentType        string  `json:"contentType,omitempty"`
	ContentLanguage    string  `json:"contentLanguage,omitempty"`
	ContentDisposition string  `json:"contentDisposition,omitempty"`
	ContentEncoding    string  `json:"contentEncoding,omitempty"`
	CacheControl       string  `json:"cacheControl,omitempty"`
	CacheExpiry        *number `json:"cacheExpiry,omitempty"`
}

type r2ETag struct {
	Value string `json:"value"`
	Type  string `json:"type"`
}

type r2Condition struct {
	Matches      *[]r2ETag `json:"etagMatches"`
	DoesNotMatch *[]r2ETag `json:"etagDoesNotMatch"`
	Before       *number   `json:"uploadedBefore"`
	After        *number   `json:"uploadedAfter"`
	Seconds      bool      `json:"secondsGranularity"`
}

type r2Range struct {
	Offset *number `json:"offset"`
	Length *number `json:"length"`
	Suffix *number `json:"suffix"`
}

// r2Request is every request in one; the method says which fields count.
type r2Request struct {
	Method       string       `json:"method"`
	Object       string       `json:"object"`
	Objects      []string     `json:"objects"`
	Range        *r2Range     `json:"range"`
	RangeHeader  string       `json:"rangeHeader"`
	OnlyIf       *r2Condition `json:"onlyIf"`
	CustomFields []r2Field    `json:"customFields"`
	HTTPFields   r2HTTP       `json:"httpFields"`
	StorageClass string       `json:"storageClass"`
	MD5          string       `json:"md5"` // base64; the others are hexadecimal
	SHA1         string       `json:"sha1"`
	SHA256       string       `json:"sha256"`
	SHA384       string       `json:"sha384"`
	SHA512       string       `json:"sha512"`
	SSEC         any          `json:"ssec"`
	UploadID     string       `json:"uploadId"`
	PartNumber   int          `json:"partNumber"`
	Parts        []struct {
		ETag string `json:"etag"`
		Part int    `json:"part"`
	} `json:"parts"`
	Limit      *number `json:"limit"`
	Prefix     string  `json:"prefix"`
	Cursor     string  `json:"cursor"`
	Delimiter  string  `json:"delimiter"`
	StartAfter string  `json:"startAfter"`
	Include    []int   `json:"include"` // 0: http, 1: custom
}

// r2Object is an object as the runtime reads it.
type r2Object struct {
	Name         string       `json:"name"`
	Version      string       `json:"version"`
	Size         int64        `json:"size"`
	ETag         string       `json:"etag"`
	Uploaded     int64        `json:"uploaded"` // milliseconds since 1970
	HTTPFields   r2HTTP       `json:"httpFields"`
	CustomFields []r2Field    `json:"customFields"`
	Range        any          `json:"range,omitempty"`
	Checksums    r2.Checksums `json:"checksums"`
	StorageClass string       `json:"storageClass"`
}

// ServeBinding implements Backend.
func (b R2) ServeBinding(w http.ResponseWriter, r *http.Request, bucket string) {
	req, body, err := readR2(r)
	if err == nil {
		err = b.answer(w, r, bucket, req, body)
	}
	if err != nil {
		// What is left unread of the body would break the connection.
		_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, r2.MaxObject)) // a reader that fails has nothing left
		failR2(w, err)
	}
}

func r2Invalid(format string, args ...any) error {
	return &r2.Error{Status: http.StatusBadRequest, Code: r2.CodeArgument, Message: fmt.Sprintf(format, args...)}
}

// readR2 takes what is asked out of a call; body is what follows it.
func readR2(r *http.Request) (req r2Request, body io.Reader, err error) {
	head := []byte(r.Header.Get(headerR2Request))
	if r.Method == http.MethodPut {
		size, err := strconv.Atoi(r.Header.Get(headerR2Size))
		if err != nil || size < 0 || size > maxR2Request {
			return req, nil, r2Invalid("Metadata missing or invalid")
		}
		head = make([]byte, size)
		if _, err := io.ReadFull(r.Body, head); err != nil {
			return req, nil, r2Invalid("Metadata missing or invalid: %v", err)
		}
	}
	if err := json.Unmarshal(head, &req); err != nil {
		return req, nil, r2Invalid("Metadata missing or invalid: %v", err)
	}
	if req.SSEC != nil {
		return req, nil, r2Invalid("Objects encrypted with a key of the client's are not available in this sandbox")
	}
	return req, r.Body, nil
}

func (b R2) answer(w http.ResponseWriter, r *http.Request, bucket string, req r2Request, body io.Reader) error {
	ctx := r.Context()
	switch method := r.Method + " " + req.Method; method {
	case "GET head":
		o, err := b.Buckets.Head(ctx, bucket, req.Object)
		if err != nil {
			return err
		}
		return writeR2(w, http.StatusOK, viewR2(o))
	case "GET get":
		return b.get(w, r, bucket, req)
	case "GET list":
		return b.list(w, r, bucket, req)
	case "PUT put":
		p, err := req.put()
		if err != nil {
			return err
		}
		o, err := b.Buckets.Store(ctx, bucket, p, body)
		if err != nil {
			return err
		}
		return writeR2(w, http.StatusOK, viewR2(o))
	case "PUT delete":
		keys := req.Objects
		if keys == nil {
			keys = []string{req.Object}
		}
		if len(keys) > r2.MaxList {
			return r2Invalid("delete takes at most %d keys", r2.MaxList)
		}
		return b.Buckets.Delete(ctx, bucket, keys)
	case "PUT createMultipartUpload":
		p, err := req.put()
		if err != nil {
			return err
		}
		id, err := b.Buckets.Begin(ctx, bucket, p)
		if err != nil {
			return err
		}
		return writeR2(w, http.StatusOK, map[string]string{"uploadId": id})
	case "PUT uploadPart":
		part, err := b.Buckets.UploadPart(ctx, bucket, req.Object, req.UploadID, req.PartNumber, body)
		if err != nil {
			return err
		}
		return writeR2(w, http.StatusOK, map[string]string{"etag": part.ETag})
	case "PUT completeMultipartUpload":
		var parts []r2.Part
		for _, p := range req.Parts {
			parts = append(parts, r2.Part{Number: p.Part, ETag: p.ETag})
		}
		o, err := b.Buckets.Complete(ctx, bucket, req.Object, req.UploadID, parts)
		if err != nil {
			return err
		}
		return writeR2(w, http.StatusOK, viewR2(o))
	case "PUT abortMultipartUpload":
		return b.Buckets.Abort(ctx, bucket, req.Object, req.UploadID)
	default:
		return r2Invalid("%q is no call of an R2 binding", method)
	}
}

// put translates what is said of an object that is to be stored.
func (q r2Request) put() (r2.Put, error) {
	if q.StorageClass != "" && q.StorageClass != "Standard" {
		return r2.Put{}, r2Invalid("The storage class %q is not available in this sandbox", q.StorageClass)
	}
	h := q.HTTPFields
	p := r2.Put{Key: q.Object, If: q.OnlyIf.condition(), Expect: r2.Checksums{SHA1: q.SHA1, SHA256: q.SHA256, SHA384: q.SHA384, SHA512: q.SHA512},
		HTTP: r2.HTTP{ContentType: h.ContentType, ContentLanguage: h.ContentLanguage, ContentDisposition: h.ContentDisposition, ContentEncoding: h.ContentEncoding, CacheControl: h.CacheControl}}
	if h.CacheExpiry != nil {
		p.HTTP.CacheExpiry = int64(*h.CacheExpiry)
	}
	if q.MD5 != "" {
		sum, err := base64.StdEncoding.DecodeString(q.MD5)
		if err != nil {
			return r2.Put{}, r2Invalid("the MD5 is not base64")
		}
		p.Expect.MD5 = hex.EncodeToString(sum)
	}
	for _, f := range q.CustomFields {
		if p.Custom == nil {
			p.Custom = map[string]string{}
		}
		p.Custom[f.K] = f.V
	}
	return p, nil
}

func (c *r2Condition) condition() r2.Condition {
	if c == nil {
		return r2.Condition{}
	}
	tags := func(list *[]r2ETag) []r2.ETag {
		if list == nil {
			return nil
		}
		out := []r2.ETag{}
		for _, t := range *list {
			out = append(out, r2.ETag{Value: t.Value, Any: t.Type == "wildcard", Weak: t.Type == "weak"})
		}
		return out
	}
	at := func(n *number) time.Time {
		if n == nil {
			return time.Time{}
		}
		return time.UnixMilli(int64(*n))
	}
	return r2.Condition{Matches: tags(c.Matches), DoesNotMatch: tags(c.DoesNotMatch), Before: at(c.Before), After: at(c.After), Seconds: c.Seconds}
}

// wanted gives the range that is asked for. A Range header that is not one
// range of bytes asks for the whole, as in HTTP.
func (q r2Request) wanted() r2.Range {
	var out r2.Range
	if q.RangeHeader != "" {
		from, to, ok := strings.Cut(strings.TrimPrefix(strings.ReplaceAll(q.RangeHeader, " ", ""), "bytes="), "-")
		first, errFirst := strconv.ParseInt(from, 10, 64)
		last, errLast := strconv.ParseInt(to, 10, 64)
		switch {
		case !ok || !strings.HasPrefix(q.RangeHeader, "bytes"):
		case from == "" && errLast == nil:
			out.Suffix = &last
		case errFirst == nil && to == "":
			out.Offset = &first
		case errFirst == nil && errLast == nil && last >= first:
			n := last - first + 1
			out.Offset, out.Length = &first, &n
		}
		return out
	}
	if q.Range != nil {
		out.Offset, out.Length, out.Suffix = (*int64)(q.Range.Offset), (*int64)(q.Range.Length), (*int64)(q.Range.Suffix)
	}
	return out
}

func (b R2) get(w http.ResponseWriter, r *http.Request, bucket string, req r2Request) (err error) {
	o, content, err := b.Buckets.Get(r.Context(), bucket, req.Object, req.wanted(), req.OnlyIf.condition())
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }() // it was only read
	view := viewR2(o)
	view.Range = map[string]int64{"offset": content.Offset, "length": content.Length}
	head, err := json.Marshal(view)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set(headerR2Size, strconv.Itoa(len(head)))
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", strconv.FormatInt(int64(len(head))+content.Length, 10))
	_, _ = io.Copy(w, io.MultiReader(bytes.NewReader(head), content)) // the Worker may be gone
	return nil
}

func (b R2) list(w http.ResponseWriter, r *http.Request, bucket string, req r2Request) error {
	q := r2.Query{Prefix: req.Prefix, Delimiter: req.Delimiter, StartAfter: req.StartAfter, Cursor: req.Cursor}
	if req.Limit != nil {
		if q.Limit = int(*req.Limit); q.Limit < 1 {
			q.Limit = -1 // 0 would mean the default
		}
	}
	page, err := b.Buckets.List(r.Context(), bucket, q)
	if err != nil {
		return err
	}
	out := struct {
		Objects   []r2Object `json:"objects"`
		Truncated bool       `json:"truncated"`
		Cursor    string     `json:"cursor,omitempty"`
		Prefixes  []string   `json:"delimitedPrefixes"`
	}{[]r2Object{}, page.Cursor != "", page.Cursor, append([]string{}, page.Prefixes...)}
	for _, o := range page.Objects {
		view := viewR2(o)
		if !slices.Contains(req.Include, 0) {
			view.HTTPFields = r2HTTP{}
		}
		if !slices.Contains(req.Include, 1) {
			view.CustomFields = []r2Field{}
		}
		out.Objects = append(out.Objects, view)
	}
	return writeR2(w, http.StatusOK, out)
}

func viewR2(o *r2.Object) r2Object {
	h := o.HTTP
	view := r2Object{Name: o.Key, Version: o.Version, Size: o.Size, ETag: o.ETag, Uploaded: o.Uploaded.UnixMilli(), CustomFields: []r2Field{},
		Checksums: o.Checksums, StorageClass: "Standard",
		HTTPFields: r2HTTP{h.ContentType, h.ContentLanguage, h.ContentDisposition, h.ContentEncoding, h.CacheControl, nil}}
	if h.CacheExpiry != 0 {
		n := number(h.CacheExpiry)
		view.HTTPFields.CacheExpiry = &n
	}
	for _, k := range slices.Sorted(maps.Keys(o.Custom)) {
		view.CustomFields = append(view.CustomFields, r2Field{k, o.Custom[k]})
	}
	return view
}

func writeR2(w http.ResponseWriter, status int, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set(headerR2Size, strconv.Itoa(len(data)))
	w.WriteHeader(status)
	_, _ = w.Write(data) // the Worker may be gone
	return nil
}

// failR2 answers with an error, and with the object where a condition on it did
// not hold: the runtime then gives the Worker what is known without the bytes.
func failR2(w http.ResponseWriter, err error) {
	refused := &r2.Error{Status: http.StatusInternalServerError, Code: 10001, Message: "the sandbox's R2 failed: " + err.Error()}
	_ = errors.As(err, &refused) // else it stays what it is
	data, jsonErr := json.Marshal(map[string]any{"version": 1, "v4code": refused.Code, "message": refused.Message})
	if jsonErr != nil {
		http.Error(w, jsonErr.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set(headerR2Error, asciiJSON(data))
	if refused.Object != nil && writeR2(w, refused.Status, viewR2(refused.Object)) == nil {
		return
	}
	w.WriteHeader(refused.Status)
}
