package api

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"firedrill/internal/sandbox/r2"
)

// r2Routes is the table of the calls of R2.
func r2Routes() []route {
	const b = "accounts/*/r2/buckets"
	return []route{
		{"POST", b, (*Server).createBucket},
		{"GET", b, (*Server).listBuckets},
		{"GET", b + "/*", (*Server).getBucket},
		{"DELETE", b + "/*", (*Server).deleteBucket},
		{"GET", b + "/*/objects", (*Server).listObjects},
		{"GET", b + "/*/objects/*", (*Server).getObject},
		{"PUT", b + "/*/objects/*", (*Server).putObject},
		{"DELETE", b + "/*/objects/*", (*Server).deleteObject},
	}
}

func (q request) bucket() string { return q.path[4] }
func (q request) object() string { return q.path[objectSegment] }

// objectSegment is the place of an object's key in a path.
const objectSegment = 6

// headerJurisdiction names where a bucket is kept. Buckets of another
// jurisdiction are invisible without it.
const headerJurisdiction = "Cf-R2-Jurisdiction"

// defaultPlace refuses what the sandbox does not have: it is one place.
func (q request) defaultPlace() error {
	if j := q.r.Header.Get(headerJurisdiction); j != "" && j != "default" {
		return &r2.Error{Status: http.StatusBadRequest, Code: r2.CodeArgument, Message: "The sandbox has buckets of the default jurisdiction only, not of " + j}
	}
	return nil
}

func viewBucket(b r2.Bucket) map[string]any {
	return map[string]any{"name": b.Name, "creation_date": b.Created.Format("2006-01-02T15:04:05.000Z"), "location": "SANDBOX", "jurisdiction": "default", "storage_class": "Standard"}
}

func (s *Server) createBucket(q request) (answer, error) {
	var in struct {
		Name         string `json:"name"`
		StorageClass string `json:"storageClass"`
	}
	if err := q.defaultPlace(); err != nil {
		return answer{}, err
	}
	if err := q.decode(&in); err != nil {
		return answer{}, err
	}
	if in.StorageClass != "" && in.StorageClass != "Standard" {
		return answer{}, &r2.Error{Status: http.StatusBadRequest, Code: r2.CodeArgument, Message: "The sandbox has the storage class Standard only"}
	}
	b, err := s.cfg.R2.CreateBucket(q.r.Context(), in.Name)
	return answer{result: viewBucket(b)}, err
}

func (s *Server) listBuckets(q request) (answer, error) {
	if err := q.defaultPlace(); err != nil {
		return answer{}, err
	}
	all, err := s.cfg.R2.Buckets(q.r.Context())
	if err != nil {
		return answer{}, err
	}
	query := q.r.URL.Query()
	views := []any{}
	for _, b := range all {
		if b.Name > query.Get("start_after") && strings.Contains(b.Name, query.Get("name_contains")) {
			views = append(views, viewBucket(b))
		}
	}
	return answer{result: map[string]any{"buckets": views}, info: newCursors(len(views), "")}, nil
}

func (s *Server) getBucket(q request) (answer, error) {
	if err := q.defaultPlace(); err != nil {
		return answer{}, err
	}
	b, err := s.cfg.R2.Bucket(q.r.Context(), q.bucket())
	return answer{result: viewBucket(b)}, err
}

func (s *Server) deleteBucket(q request) (answer, error) {
	if err := q.defaultPlace(); err != nil {
		return answer{}, err
	}
	return answer{result: map[string]any{}}, s.cfg.R2.DeleteBucket(q.r.Context(), q.bucket())
}

func viewObject(o *r2.Object) map[string]any {
	return map[string]any{"key": o.Key, "size": o.Size, "etag": o.ETag, "last_modified": o.Uploaded.Format("2006-01-02T15:04:05.000Z"),
		"http_metadata": o.HTTP, "custom_metadata": o.Custom, "storage_class": "Standard"}
}

func (s *Server) listObjects(q request) (answer, error) {
	query := q.r.URL.Query()
	list := r2.Query{Prefix: query.Get("prefix"), Delimiter: query.Get("delimiter"), StartAfter: query.Get("start_after"), Cursor: query.Get("cursor")}
	if text := query.Get("per_page"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			n = -1 // refused by the store, with the platform's words
		}
		list.Limit = n
	}
	page, err := s.cfg.R2.List(q.r.Context(), q.bucket(), list)
	if err != nil {
		return answer{}, err
	}
	views := []any{}
	for _, o := range page.Objects {
		views = append(views, viewObject(o))
	}
	info := struct {
		cursors
		Truncated bool     `json:"is_truncated"`
		Delimited []string `json:"delimited"`
	}{newCursors(len(views), page.Cursor), page.Cursor != "", append([]string{}, page.Prefixes...)}
	return answer{result: views, info: info}, nil
}

// objectHeaders are the headers that stay with an object, and where they stay.
func objectHeaders(h *r2.HTTP) map[string]*string {
	return map[string]*string{"Content-Type": &h.ContentType, "Content-Language": &h.ContentLanguage, "Content-Disposition": &h.ContentDisposition,
		"Content-Encoding": &h.ContentEncoding, "Cache-Control": &h.CacheControl}
}

func (s *Server) putObject(q request) (answer, error) {
	p := r2.Put{Key: q.object()}
	for name, to := range objectHeaders(&p.HTTP) {
		*to = q.r.Header.Get(name)
	}
	if at, err := http.ParseTime(q.r.Header.Get("Expires")); err == nil {
		p.HTTP.CacheExpiry = at.UnixMilli()
	}
	if q.r.ContentLength > r2.MaxAPIObject {
		return answer{}, &r2.Error{Status: http.StatusRequestEntityTooLarge, Code: r2.CodeTooLarge, Message: "The API takes objects of up to 300 MiB; use a multipart upload of a Worker."}
	}
	o, err := s.cfg.R2.Store(q.r.Context(), q.bucket(), p, http.MaxBytesReader(q.w, q.r.Body, r2.MaxAPIObject))
	if err != nil {
		return answer{}, err
	}
	return answer{result: map[string]any{"key": o.Key, "etag": o.ETag, "size": strconv.FormatInt(o.Size, 10), "version": o.Version,
		"uploaded": o.Uploaded.Format("2006-01-02T15:04:05.000Z"), "storage_class": "Standard"}}, nil
}

func (s *Server) getObject(q request) (answer, error) {
	o, content, err := s.cfg.R2.Get(q.r.Context(), q.bucket(), q.object(), r2.Range{}, r2.Condition{})
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = content.Close() }() // it was only read
	h := q.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	for name, from := range objectHeaders(&o.HTTP) {
		if *from != "" {
			h.Set(name, *from)
		}
	}
	if o.HTTP.CacheExpiry != 0 {
		h.Set("Expires", time.UnixMilli(o.HTTP.CacheExpiry).UTC().Format(http.TimeFormat))
	}
	h.Set("Etag", `"`+o.ETag+`"`)
	h.Set("Last-Modified", o.Uploaded.UTC().Format(http.TimeFormat))
	h.Set("Content-Length", strconv.FormatInt(o.Size, 10))
	_, _ = io.Copy(q.w, content) // the client may be gone
	return answer{done: true}, nil
}

func (s *Server) deleteObject(q request) (answer, error) {
	return answer{result: map[string]any{"key": q.object()}}, s.cfg.R2.Delete(q.r.Context(), q.bucket(), []string{q.object()})
}
