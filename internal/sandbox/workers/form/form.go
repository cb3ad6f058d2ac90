// Package form reads and writes the multipart bodies in which Workers are
// uploaded and downloaded.
//
// mime/multipart cuts a file name down to its last element, which would tear
// "lib/util.js" and "util.js" together; a module's name is its import path. So
// the Content-Disposition of each part is parsed here, and kept whole.
package form

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/textproto"
	"strings"
)

// Part is one part of a form.
type Part struct {
	// Name is the form field, Filename the file name with its folders; one of
	// the two may be empty.
	Name, Filename string
	// ContentType is the media type without parameters, in lower case.
	ContentType string
	Data        []byte
}

// Limits bound what Read accepts.
type Limits struct {
	Parts int   // number of parts
	Bytes int64 // sum of all parts
}

// ErrTooLarge is returned when a form exceeds its limits.
var ErrTooLarge = errors.New("the form is too large")

// Read reads the whole form. contentType is the request's header with the
// boundary.
func Read(body io.Reader, contentType string, limits Limits) ([]Part, error) {
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, fmt.Errorf("content type: %w", err)
	}
	if media != "multipart/form-data" {
		return nil, fmt.Errorf("content type is %q, not multipart/form-data", media)
	}
	if params["boundary"] == "" {
		return nil, errors.New("content type has no boundary")
	}
	mr := multipart.NewReader(body, params["boundary"])
	var parts []Part
	left := limits.Bytes
	for {
		p, err := mr.NextRawPart()
		if errors.Is(err, io.EOF) {
			return parts, nil
		}
		if err != nil {
			return nil, fmt.Errorf("part %d: %w", len(parts)+1, err)
		}
		if len(parts) == limits.Parts {
			return nil, fmt.Errorf("%w: more than %d parts", ErrTooLarge, limits.Parts)
		}
		part, err := describe(p.Header)
		if err != nil {
			return nil, fmt.Errorf("part %d: %w", len(parts)+1, err)
		}
		part.Data, err = io.ReadAll(io.LimitReader(p, left+1))
		if err != nil {
			return nil, fmt.Errorf("part %d: %w", len(parts)+1, err)
		}
		if left -= int64(len(part.Data)); left < 0 {
			return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limits.Bytes)
		}
		parts = append(parts, part)
	}
}

func describe(h textproto.MIMEHeader) (Part, error) {
	kind, params, err := mime.ParseMediaType(h.Get("Content-Disposition"))
	if err != nil {
		return Part{}, fmt.Errorf("content disposition: %w", err)
	}
	if kind != "form-data" {
		return Part{}, fmt.Errorf("content disposition is %q, not form-data", kind)
	}
	p := Part{Name: unescape(params["name"]), Filename: unescape(params["filename"])}
	if p.Name == "" && p.Filename == "" {
		return Part{}, errors.New("neither name nor filename")
	}
	if ct := h.Get("Content-Type"); ct != "" {
		media, _, err := mime.ParseMediaType(ct)
		if err != nil {
			return Part{}, fmt.Errorf("content type: %w", err)
		}
		p.ContentType = media
	}
	return p, nil
}

// Browsers and fetch write these three characters of a name as percent escapes
// (the HTML standard's form encoding); a backslash is doubled, as in mail.
var (
	escaper   = strings.NewReplacer("\n", "%0A", "\r", "%0D", `"`, "%22", `\`, `\\`)
	unescaper = strings.NewReplacer("%0A", "\n", "%0D", "\r", "%22", `"`)
)

func unescape(s string) string { return unescaper.Replace(s) }

// Write writes parts as a form and returns the content type with its boundary.
func Write(w io.Writer, parts []Part) (contentType string, err error) {
	mw := multipart.NewWriter(w)
	for _, p := range parts {
		h := textproto.MIMEHeader{}
		d := `form-data; name="` + escaper.Replace(p.Name) + `"`
		if p.Filename != "" {
			d += `; filename="` + escaper.Replace(p.Filename) + `"`
		}
		h.Set("Content-Disposition", d)
		if p.ContentType != "" {
			h.Set("Content-Type", p.ContentType)
		}
		pw, err := mw.CreatePart(h)
		if err != nil {
			return "", err
		}
		if _, err := pw.Write(p.Data); err != nil {
			return "", err
		}
	}
	return mw.FormDataContentType(), mw.Close()
}
