// Package s3test starts a real S3 server for tests: versitygw, each with a
// folder and a port of its own, so that they run side by side, and gone when
// the test ends, however it ends.
package s3test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// The only account and the region of every server.
const (
	AccessKey = "s3test-access"
	SecretKey = "s3test-secret-5eb1a0"
	Region    = "us-east-1"
)

// Server is a running S3 server.
type Server struct {
	Endpoint string // http://127.0.0.1:port
	// Admin is a client with every right, to prepare and to look behind.
	Admin *minio.Core

	t    testing.TB
	proc *process
}

// Start starts a server on an empty folder.
func Start(t testing.TB) *Server {
	t.Helper()
	return start(t)
}

// StartVersioned starts one that keeps older versions of objects, and so can lock them.
func StartVersioned(t testing.TB) *Server {
	t.Helper()
	return start(t, "--versioning-dir", t.TempDir())
}

// start starts a server with further arguments for its store.
func start(t testing.TB, arguments ...string) *Server {
	t.Helper()
	binary, err := Binary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	s := &Server{t: t}
	s.start(binary, append(append([]string{"posix"}, arguments...), data), &http.Client{Transport: transport, Timeout: 5 * time.Second})
	s.Admin, err = minio.NewCore(s.Endpoint[len("http://"):], &minio.Options{
		Creds: credentials.NewStaticV4(AccessKey, SecretKey, ""), Region: Region, Transport: transport, MaxRetries: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		s.Kill()
		if t.Failed() {
			t.Logf("versitygw said:\n%s", s.proc.output.Bytes())
		}
	})
	return s
}

// start tries ports until one is still free when the server takes it.
func (s *Server) start(binary string, store []string, client *http.Client) {
	s.t.Helper()
	var err error
	for range 5 {
		var addr string
		if addr, err = freeAddress(s.t.Context()); err != nil {
			break
		}
		s.Endpoint = "http://" + addr
		// Without --keep-alive: on a connection that idles it answers 400 to
		// nobody, which a client that just uses it again takes for its own.
		s.proc = run(binary, append([]string{"--port", addr, "--region", Region, "--quiet", "--health", "/health"}, store...)...)
		if err = s.ready(client); err == nil {
			return
		}
		s.Kill()
	}
	s.t.Fatalf("start versitygw: %v: it said: %s", err, s.proc.output.Bytes())
}

// ready waits until the server answers, or has ended.
func (s *Server) ready(client *http.Client) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Endpoint+"/health", nil)
		if err != nil {
			return err
		}
		if resp, err := client.Do(req); err == nil {
			if err := resp.Body.Close(); err != nil {
				return err
			}
			if resp.StatusCode == http.StatusOK && resp.Header.Get("Server") == "VERSITYGW" {
				return nil
			}
		}
		select {
		case <-s.proc.ended:
			return errors.Join(errors.New("it ended"), s.proc.err)
		case <-ctx.Done():
			return fmt.Errorf("it did not answer: %w", ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Kill kills the server at once; a second call does nothing.
func (s *Server) Kill() {
	if s.proc.cmd.Process != nil {
		_ = s.proc.cmd.Process.Kill() // it may have ended
	}
	<-s.proc.ended
}

// Getenv is an environment that names this server and its account.
func (s *Server) Getenv(name string) string {
	return map[string]string{
		"AWS_ENDPOINT_URL_S3": s.Endpoint, "AWS_REGION": Region,
		"AWS_ACCESS_KEY_ID": AccessKey, "AWS_SECRET_ACCESS_KEY": SecretKey,
	}[name]
}

// Bucket makes a bucket and gives its name.
func (s *Server) Bucket(name string) string {
	s.t.Helper()
	if err := s.Admin.MakeBucket(s.t.Context(), name, minio.MakeBucketOptions{Region: Region}); err != nil {
		s.t.Fatal(err)
	}
	return name
}

// LockingBucket makes a bucket with object lock on a server that keeps versions.
func (s *Server) LockingBucket(name string) string {
	s.t.Helper()
	if err := s.Admin.MakeBucket(s.t.Context(), name, minio.MakeBucketOptions{Region: Region, ObjectLocking: true}); err != nil {
		s.t.Fatal(err)
	}
	return name
}

// Uploads lists the multipart uploads of a bucket that were begun and neither
// completed nor aborted.
func (s *Server) Uploads(bucket string) []string {
	s.t.Helper()
	list, err := s.Admin.ListMultipartUploads(s.t.Context(), bucket, "", "", "", "", 1000)
	if err != nil {
		s.t.Fatal(err)
	}
	var keys []string
	for _, u := range list.Uploads {
		keys = append(keys, u.Key)
	}
	return keys
}

func freeAddress(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// process is a child that is waited for.
type process struct {
	cmd    *exec.Cmd
	output bytes.Buffer  // complete when it has ended
	ended  chan struct{} // closed when it has ended
	err    error         // valid then
}

// run starts the server. The kernel kills it when the thread that started it
// ends, so one goroutine keeps the thread and waits for the child on it.
func run(binary string, args ...string) *process {
	p := &process{cmd: exec.CommandContext(context.Background(), binary, args...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	// The account of the server is all that it gets to know of the environment.
	p.cmd.Env = []string{"ROOT_ACCESS_KEY_ID=" + AccessKey, "ROOT_SECRET_ACCESS_KEY=" + SecretKey}
	p.cmd.SysProcAttr = diesWithUs()
	started := make(chan struct{})
	go func() {
		defer close(p.ended)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		close(started)
		if err == nil {
			err = p.cmd.Wait()
		}
		p.err = err
	}()
	<-started
	return p
}
