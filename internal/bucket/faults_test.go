package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"firedrill"
	"firedrill/internal/testkit/faultproxy"
	"firedrill/internal/testkit/s3test"
)

// behind opens a bucket through a proxy, and the same one past it.
func behind(t *testing.T, s *s3test.Server, bucket string, attempts int) (b, direct *Bucket, p *faultproxy.Proxy) {
	t.Helper()
	address := "s3://" + s.Bucket(bucket) + "/prefix"
	p = faultproxy.Start(t, s.Endpoint)
	b = open(t, s, address, func(cfg *Config) { cfg.Endpoint, cfg.Attempts = p.URL, attempts })
	return b, open(t, s, address), p
}

// last does a fault to the request that makes a file visible.
func last(f faultproxy.Fault) faultproxy.Script {
	return func(_ int, r *http.Request) faultproxy.Fault {
		completes := r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
		whole := r.Method == http.MethodPut && !r.URL.Query().Has("uploadId")
		if completes || whole {
			return f
		}
		return faultproxy.Fault{}
	}
}

// TestCloseTellsTheTruth lets the last request of a file fail in every way. Nil
// has to mean that the file is there. An error that says that it is known may
// only come of a request that had no effect, and then the old file is there.
func TestCloseTellsTheTruth(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	for _, kind := range faultproxy.Kinds() {
		for size, content := range map[string][]byte{"short": []byte("content"), "long": bytes.Repeat([]byte("long"), minPartSize/2)} {
			t.Run(fmt.Sprintf("%s/%s", kind, size), func(t *testing.T) {
				t.Parallel()
				b, direct, p := behind(t, s, fmt.Sprintf("close-%s-%s", kind, size), 1)
				if err := put(t, direct, "file", []byte("old")); err != nil {
					t.Fatal(err)
				}
				p.Use(last(faultproxy.Fault{Kind: kind, Wait: time.Millisecond}))
				err := put(t, b, "file", content)
				if p.Counts()[kind] == 0 {
					t.Fatal("nothing went wrong; the test shows nothing")
				}
				stored, getErr := get(t, direct, "file")
				if getErr != nil {
					t.Fatal(getErr)
				}
				old, there := string(stored) == "old", bytes.Equal(stored, content)
				switch firedrill.KindOf(err) {
				case "":
					if !there {
						t.Errorf("close says that it is there, %d bytes are", len(stored))
					}
				case firedrill.KindUnknown:
					if !old && !there {
						t.Errorf("%d bytes are there", len(stored))
					}
				default:
					if !old {
						t.Errorf("%v, but the file is there", err)
					}
				}
				if kind.TakesEffect() != there {
					t.Errorf("took effect: %v, there: %v", kind.TakesEffect(), there)
				}
				// Where the answer was lost, the stored content settles it.
				if there && err != nil {
					t.Errorf("it is there, and close says %v", err)
				}
				if got := s.Uploads(direct.bucket); len(got) != 0 {
					t.Errorf("left behind: %q", got)
				}
			})
		}
	}
}

// TestUploadThatIsGoneAfterALostAnswer meets a store that completes an upload,
// and says of the repeated request that there is no such upload. (The server of
// the tests says success again, so that answer is put in its place.)
func TestUploadThatIsGoneAfterALostAnswer(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	address := "s3://" + s.Bucket("completed")
	store, err := url.Parse(s.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	front := httputil.NewSingleHostReverseProxy(store)
	front.Transport = &http.Transport{DisableKeepAlives: true}
	front.ModifyResponse = func(resp *http.Response) error {
		if resp.Request.Method != http.MethodPost || !resp.Request.URL.Query().Has("uploadId") {
			return nil
		}
		const gone = "<Error><Code>NoSuchUpload</Code><Message>It is gone.</Message></Error>"
		resp.StatusCode, resp.ContentLength = http.StatusNotFound, int64(len(gone))
		resp.Header.Set("Content-Length", strconv.Itoa(len(gone)))
		err := resp.Body.Close()
		resp.Body = io.NopCloser(strings.NewReader(gone))
		return err
	}
	server := httptest.NewServer(front)
	t.Cleanup(server.Close)
	b := open(t, s, address, func(cfg *Config) { cfg.Endpoint = server.URL })
	content := bytes.Repeat([]byte("long"), minPartSize/2)
	if err := put(t, b, "file", content); err != nil {
		t.Errorf("close: %v", err)
	}
	if stored, err := get(t, open(t, s, address), "file"); err != nil || !bytes.Equal(stored, content) {
		t.Errorf("%d bytes are there, %v", len(stored), err)
	}
}

// TestIfAbsentTellsTheTruth is the same for what must never be told wrong: who
// has a lease.
func TestIfAbsentTellsTheTruth(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	for _, kind := range faultproxy.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			b, direct, p := behind(t, s, "absent-"+string(kind), 5)
			p.Use(faultproxy.Nth(1, faultproxy.Fault{Kind: kind, Wait: time.Millisecond}))
			err := b.PutIfAbsent(t.Context(), "lease", []byte("mine"))
			if n := p.Counts()[faultproxy.Pass]; kind != faultproxy.Pass && n != 0 {
				t.Errorf("it was sent again %d times", n)
			}
			_, getErr := get(t, direct, "lease")
			there := getErr == nil
			switch firedrill.KindOf(err) {
			case "":
				if !there {
					t.Error("it says that it is there")
				}
			case firedrill.KindUnknown:
			default:
				if there {
					t.Errorf("%v, but it is there", err)
				}
			}
			if errors.Is(err, fs.ErrExist) {
				t.Errorf("%v, although nobody else wrote", err)
			}
		})
	}
}

// TestReadsTellTheTruth lets readings fail in every way. Nil has to mean all of
// it, and nothing may look as if it were not there.
func TestReadsTellTheTruth(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	for _, kind := range faultproxy.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			b, direct, p := behind(t, s, "read-"+string(kind), 1)
			if err := put(t, direct, "file", []byte("content")); err != nil {
				t.Fatal(err)
			}
			p.Use(faultproxy.Always(faultproxy.Fault{Kind: kind, Wait: time.Millisecond}))
			names, err := b.Names(t.Context())
			if err == nil && !slices.Equal(names, []string{"file"}) || err != nil && firedrill.RemedyOf(err) == "" {
				t.Errorf("names: %q, %v", names, err)
			}
			content, err := get(t, b, "file")
			if err == nil && string(content) != "content" || errors.Is(err, fs.ErrNotExist) || err != nil && firedrill.RemedyOf(err) == "" {
				t.Errorf("open: %q, %v", content, err)
			}
			err = b.Remove(t.Context(), "file")
			_, getErr := get(t, direct, "file")
			gone := errors.Is(getErr, fs.ErrNotExist)
			if err == nil && !gone || err != nil && gone && firedrill.KindOf(err) != firedrill.KindUnknown {
				t.Errorf("remove: %v; gone: %v", err, gone)
			}
		})
	}
}

// TestWhatStallsEndsWithTheContext gives up in the middle of each operation.
func TestWhatStallsEndsWithTheContext(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	b, _, p := behind(t, s, "stalls", 1)
	for name, test := range map[string]struct {
		call func(ctx context.Context) error
		kind firedrill.Kind
	}{
		"names":     {func(ctx context.Context) error { _, err := b.Names(ctx); return err }, firedrill.KindInterrupted},
		"open":      {func(ctx context.Context) error { _, err := b.Open(ctx, "file"); return err }, firedrill.KindInterrupted},
		"remove":    {func(ctx context.Context) error { return b.Remove(ctx, "file") }, firedrill.KindUnknown},
		"if absent": {func(ctx context.Context) error { return b.PutIfAbsent(ctx, "file", nil) }, firedrill.KindUnknown},
		"create": {func(ctx context.Context) error {
			f, err := b.Create(ctx, "file")
			if err != nil {
				return err
			}
			return f.Close()
		}, firedrill.KindUnknown},
	} {
		ctx, giveUp := context.WithCancel(t.Context())
		p.Use(func(int, *http.Request) faultproxy.Fault {
			giveUp()
			return faultproxy.Fault{Kind: faultproxy.Stall}
		})
		if err := test.call(ctx); !errors.Is(err, context.Canceled) || firedrill.KindOf(err) != test.kind {
			t.Errorf("%s: %v of kind %s, want %s", name, err, firedrill.KindOf(err), test.kind)
		}
		giveUp()
	}
}

func TestDeadlineIsATimeout(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	b, _, p := behind(t, s, "deadline", 1)
	p.Use(faultproxy.Always(faultproxy.Fault{Kind: faultproxy.Stall}))
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := b.Names(ctx); firedrill.KindOf(err) != firedrill.KindTimeout || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v of kind %s", err, firedrill.KindOf(err))
	}
}

// TestFilesSurviveABadNetwork writes and reads through one that breaks a third
// of all requests. What close says has to be true, and what is read whole.
func TestFilesSurviveABadNetwork(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	b, direct, p := behind(t, s, "bad-network", 3)
	seed := rand.Uint64()
	p.UseRandom(seed, 0.3)
	written := 0
	for n := range 12 {
		name := fmt.Sprintf("file-%02d", n)
		content := bytes.Repeat([]byte(name), 1+n%2*minPartSize/5) // every other of two parts
		err := put(t, b, name, content)
		stored, getErr := get(t, direct, name)
		there := bytes.Equal(stored, content)
		switch {
		case err == nil && !there:
			t.Errorf("%s: close says that it is there; %d bytes, %v", name, len(stored), getErr)
		case getErr == nil && !there:
			t.Errorf("%s: %d bytes of %d are there", name, len(stored), len(content))
		case err == nil:
			written++
		}
		if read, err := get(t, b, name); err == nil && !bytes.Equal(read, content) {
			t.Errorf("%s: %d bytes of %d were read as if they were all", name, len(read), len(content))
		}
	}
	t.Logf("%d of 12 written; %v", written, p.Counts())
}

// TestReaderSaysWhereItBroke cuts an answer in its middle.
func TestReaderSaysWhereItBroke(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	b, direct, p := behind(t, s, "cut", 1)
	if err := put(t, direct, "file", bytes.Repeat([]byte("x"), 1000)); err != nil {
		t.Fatal(err)
	}
	p.Use(faultproxy.Always(faultproxy.Fault{Kind: faultproxy.Cut}))
	got, err := get(t, b, "file")
	var e *firedrill.Error
	if len(got) != 500 || !errors.Is(err, io.ErrUnexpectedEOF) || !errors.As(err, &e) || e.Kind != firedrill.KindUnavailable || !strings.HasSuffix(e.Target, "/prefix/file") {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
