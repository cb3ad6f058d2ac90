package bucket

import (
	"errors"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"firedrill"
	"firedrill/internal/testkit/s3test"
)

// operations performs each operation once, and gives the errors.
func operations(t *testing.T, b *Bucket) map[string]error {
	t.Helper()
	_, namesErr := b.Names(t.Context())
	_, openErr := get(t, b, "file")
	return map[string]error{
		"names": namesErr, "open": openErr, "create": put(t, b, "file", []byte("content")), "create long": put(t, b, "file", make([]byte, minPartSize+1)),
		"remove": b.Remove(t.Context(), "file"), "if absent": b.PutIfAbsent(t.Context(), "file", []byte("content")),
	}
}

// wantErrors holds each error to a kind, to a remedy, to naming its target, and
// to keeping the credentials for itself.
func wantErrors(t *testing.T, errs map[string]error, kind firedrill.Kind, remedy string) {
	t.Helper()
	for op, err := range errs {
		var e *firedrill.Error
		if !errors.As(err, &e) || e.Kind != kind {
			t.Errorf("%s: %v is of kind %s, want %s", op, err, firedrill.KindOf(err), kind)
			continue
		}
		if e.Op == "" || !strings.HasPrefix(e.Target, "s3://") || !strings.Contains(e.Remedy, remedy) {
			t.Errorf("%s: op %q, target %q, remedy %q", op, e.Op, e.Target, e.Remedy)
		}
		if errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v says that the file is not there", op, err)
		}
		wantNoKeys(t, err)
	}
}

func wantNoKeys(t *testing.T, err error) {
	t.Helper()
	for ; err != nil; err = errors.Unwrap(err) {
		for _, secret := range []string{s3test.SecretKey, s3test.AccessKey, "wrong-secret", "wrong-key"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%q shows a credential", err)
			}
		}
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	s.Bucket("there")
	with := func(name, value string) func(*Config) {
		return func(cfg *Config) {
			getenv := cfg.Getenv
			cfg.Getenv = func(asked string) string {
				if asked == name {
					return value
				}
				return getenv(asked)
			}
		}
	}
	for name, test := range map[string]struct {
		address string
		change  func(*Config)
		kind    firedrill.Kind
		remedy  string
	}{
		"no bucket":    {"s3://not-there/prefix", func(*Config) {}, firedrill.KindNotFound, "make the bucket"},
		"wrong key":    {"s3://there", with("AWS_ACCESS_KEY_ID", "wrong-key"), firedrill.KindDenied, "AWS_ACCESS_KEY_ID"},
		"wrong secret": {"s3://there", with("AWS_SECRET_ACCESS_KEY", "wrong-secret"), firedrill.KindDenied, "AWS_SECRET_ACCESS_KEY"},
		"wrong region": {"s3://there", func(cfg *Config) { cfg.Region = "eu-nowhere-1" }, firedrill.KindUsage, "AWS_REGION"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantErrors(t, operations(t, open(t, s, test.address, test.change)), test.kind, test.remedy)
		})
	}
}

func TestEndpointThatIsNotThere(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	s.Bucket("there")
	b := open(t, s, "s3://there")
	if err := put(t, b, "file", []byte("x")); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	wantErrors(t, operations(t, b), firedrill.KindNotSent, "check the endpoint")
}

// TestEndpointWithTLS talks to one whose certificate nobody knows, and talks TLS
// to one that does not.
func TestEndpointWithTLS(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	stranger := httptest.NewUnstartedServer(http.NotFoundHandler())
	stranger.Config.ErrorLog = log.New(io.Discard, "", 0)
	stranger.StartTLS()
	t.Cleanup(stranger.Close)
	b := open(t, s, "s3://there", func(cfg *Config) { cfg.Endpoint = stranger.URL })
	wantErrors(t, operations(t, b), firedrill.KindNotSent, "certificate")
	b = open(t, s, "s3://there", func(cfg *Config) { cfg.Endpoint = strings.Replace(s.Endpoint, "http:", "https:", 1) })
	wantErrors(t, operations(t, b), firedrill.KindNotSent, "check the endpoint and its port")
}

// TestSomethingElseAnswers puts a web page where the store should be. Neither
// an empty listing nor a missing file may come of it.
func TestSomethingElseAnswers(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	for _, status := range []int{http.StatusOK, http.StatusNotFound} {
		page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(status)
			_, _ = w.Write([]byte("<!DOCTYPE html><html><body>Welcome</body></html>"))
		}))
		t.Cleanup(page.Close)
		b := open(t, s, "s3://there", func(cfg *Config) { cfg.Endpoint = page.URL })
		for op, err := range operations(t, b) {
			if err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(firedrill.RemedyOf(err), "endpoint") {
				t.Errorf("%d, %s: %v; remedy %q", status, op, err, firedrill.RemedyOf(err))
			}
		}
	}
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	env := map[string]string{"AWS_ACCESS_KEY_ID": "wrong-key", "AWS_SECRET_ACCESS_KEY": "wrong-secret"}
	for name, test := range map[string]struct {
		address, endpoint string
		env               map[string]string
		want              string // endpoint; "": refused
		target            string
	}{
		"R2":             {address: "s3://b-1/a/b", endpoint: "https://0123.r2.cloudflarestorage.com", want: "https://0123.r2.cloudflarestorage.com"},
		"slash":          {address: "s3://b-1/", endpoint: "https://host:9000/", want: "https://host:9000"},
		"AWS":            {address: "s3://b-1", env: map[string]string{"AWS_DEFAULT_REGION": "eu-west-1"}, want: "https://s3.eu-west-1.amazonaws.com"},
		"own variable":   {address: "s3://b-1", env: map[string]string{"AWS_ENDPOINT_URL": "https://all", "AWS_ENDPOINT_URL_S3": "https://s3"}, want: "https://s3"},
		"general":        {address: "s3://b-1", env: map[string]string{"AWS_ENDPOINT_URL": "https://all"}, want: "https://all"},
		"given":          {address: "s3://b-1", endpoint: "https://given", env: map[string]string{"AWS_ENDPOINT_URL_S3": "https://s3"}, want: "https://given"},
		"loopback":       {address: "s3://b-1", endpoint: "http://127.0.0.1:1", want: "http://127.0.0.1:1"},
		"loopback 6":     {address: "s3://b-1", endpoint: "http://[::1]:1", want: "http://[::1]:1"},
		"localhost":      {address: "s3://b-1", endpoint: "http://localhost:1", want: "http://localhost:1"},
		"plain":          {address: "s3://b-1", endpoint: "http://10.0.0.1", target: "http://10.0.0.1"},
		"plain name":     {address: "s3://b-1", endpoint: "http://localhost.example.com", target: "http://localhost.example.com"},
		"nowhere":        {address: "s3://b-1", target: "s3://b-1"},
		"no scheme":      {address: "s3://b-1", endpoint: "host:9000", target: "host:9000"},
		"with a path":    {address: "s3://b-1", endpoint: "https://host/b-1", target: "https://host/b-1"},
		"with keys":      {address: "s3://b-1", endpoint: "https://wrong-key:wrong-secret@host", target: "the endpoint"},
		"unreadable":     {address: "s3://b-1", endpoint: "https://wrong-key:wrong-secret@ho st", target: "the endpoint"},
		"keys inside":    {address: "s3://wrong-key:wrong-secret@b-1", endpoint: "https://host", target: "the address of the bucket"},
		"folder":         {address: "backups/cache", endpoint: "https://host", target: "backups/cache"},
		"no bucket":      {address: "s3:///a", endpoint: "https://host", target: "s3:///a"},
		"bad bucket":     {address: "s3://B_1", endpoint: "https://host", target: "s3://B_1"},
		"empty part":     {address: "s3://b-1/a//b", endpoint: "https://host", target: "s3://b-1/a//b"},
		"upward":         {address: "s3://b-1/a/../b", endpoint: "https://host", target: "s3://b-1/a/../b"},
		"without key":    {address: "s3://b-1", endpoint: "https://host", env: map[string]string{"AWS_ACCESS_KEY_ID": ""}, target: "environment variable AWS_ACCESS_KEY_ID"},
		"without secret": {address: "s3://b-1", endpoint: "https://host", env: map[string]string{"AWS_SECRET_ACCESS_KEY": " "}, target: "environment variable AWS_SECRET_ACCESS_KEY"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := New(Config{Address: test.address, Endpoint: test.endpoint, Getenv: func(name string) string {
				if v, ok := test.env[name]; ok {
					return v
				}
				return env[name]
			}})
			wantNoKeys(t, err)
			if test.want == "" {
				var e *firedrill.Error
				if !errors.As(err, &e) || e.Remedy == "" || e.Target != test.target {
					t.Errorf("got %#v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if b.endpoint != test.want || b.String() != strings.TrimSuffix(test.address, "/") {
				t.Errorf("endpoint %s, address %s", b.endpoint, b)
			}
			if host := b.repeats.EndpointURL().Host; host != strings.SplitN(test.want, "//", 2)[1] {
				t.Errorf("the library talks to %s", host)
			}
		})
	}
	if _, err := New(Config{Address: "s3://b-1", Endpoint: "https://host", PartSize: 1, Getenv: func(string) string { return "x" }}); firedrill.KindOf(err) != firedrill.KindUsage {
		t.Errorf("parts too small: %v", err)
	}
}

// TestStoreThatShowsCredentials has a store that repeats in its errors what it
// was sent.
func TestStoreThatShowsCredentials(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	chatty := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte("<Error><Code>AccessDenied</Code><Message>" + r.Header.Get("Authorization") + s3test.SecretKey + "</Message></Error>"))
	}))
	t.Cleanup(chatty.Close)
	b := open(t, s, "s3://there", func(cfg *Config) { cfg.Endpoint = chatty.URL })
	_, err := b.Names(t.Context())
	if err == nil || !strings.Contains(err.Error(), "[redacted]") {
		t.Errorf("got %v", err)
	}
	wantErrors(t, operations(t, b), firedrill.KindDenied, "give the key the right")
}
