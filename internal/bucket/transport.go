package bucket

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
)

// strict refuses answers that no S3 store gives. The library takes a web page
// with status 200 for an empty listing or a removal, and one with 404 for an
// object that is not there: a proxy in between could make a backup look as if it
// were none.
type strict struct{ next http.RoundTripper }

var (
	errNoListing = errors.New("the answer is no listing: something else than an S3 store answers")
	errNoRemoval = errors.New("the answer says 200, and not that anything was removed")
	errNoStore   = errors.New("the answer says 404, but not as an S3 store says it")
)

func (s strict) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.next.RoundTrip(r)
	if err != nil || r.Method == http.MethodHead {
		return resp, err
	}
	switch {
	case resp.StatusCode == http.StatusOK && r.Method == http.MethodGet && r.URL.Query().Get("list-type") == "2":
		return begins(resp, "<ListBucketResult", errNoListing)
	case resp.StatusCode == http.StatusNotFound:
		return begins(resp, "<Code>", errNoStore)
	case resp.StatusCode == http.StatusOK && r.Method == http.MethodDelete:
		return nil, errors.Join(errNoRemoval, resp.Body.Close()) // a store says 204
	}
	return resp, nil
}

// begins looks for a word at the beginning of an answer, and leaves the answer
// whole.
func begins(resp *http.Response, word string, missing error) (*http.Response, error) {
	type body struct {
		io.Reader
		io.Closer
	}
	r := bufio.NewReaderSize(resp.Body, 1024)
	head, err := r.Peek(1024)
	if bytes.Contains(head, []byte(word)) {
		resp.Body = body{r, resp.Body}
		return resp, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = missing
	}
	return nil, errors.Join(err, resp.Body.Close())
}
