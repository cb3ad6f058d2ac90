// Package bucket keeps files below a prefix in a bucket of any S3-compatible
// store: R2, MinIO, versitygw, AWS.
//
// A bucket has the methods of a place for backups: a file is there, whole, when
// Close has given nil, and until then a reader sees the older one or none. It is
// written in parts of a fixed size, so the memory that it needs does not grow
// with the file; what is given up leaves neither a file nor an upload behind.
// (A process that is killed leaves an unfinished upload that nobody sees but
// that is paid for; a lifecycle rule of the bucket ends those.)
//
// Credentials come from the environment and stand in no error.
package bucket

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"firedrill"
)

// Config says which bucket, and how it is reached.
type Config struct {
	// Address is s3://bucket or s3://bucket/prefix.
	Address string
	// Endpoint is the store, https://host. Empty: AWS_ENDPOINT_URL_S3, else
	// AWS_ENDPOINT_URL, else, if a region is given, AWS. Plain http is for this
	// machine alone.
	Endpoint string
	// Region is what requests are signed for. Empty: AWS_REGION, else
	// AWS_DEFAULT_REGION, else us-east-1, which R2 and MinIO take.
	Region string
	// Getenv reads the environment, for what is empty here and the credentials:
	// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN. nil: os.Getenv.
	Getenv func(string) string
	// PartSize is how much of a file is held in memory and sent at once. A file
	// has at most 10,000 parts. 0: 16 MiB; the least that stores take is 5 MiB.
	PartSize int
	// Attempts is how often a request is sent that may be repeated; 0: 5.
	Attempts int
}

// The parts of a multipart upload.
const (
	defaultPartSize = 16 << 20
	minPartSize     = 5 << 20
	maxParts        = 10_000
)

// Bucket is a prefix in a bucket. It is safe for use by several goroutines.
type Bucket struct {
	address          // where
	endpoint  string // for errors
	partSize  int
	pageSize  int // of listings; 0: what the store likes
	transport *http.Transport
	// repeats sends again what failed in a way that may pass, once does not.
	repeats, once *minio.Core
	redact        func(string) string
}

// File is a file that is being written. After Abort it is gone; a second Close
// gives what the first one gave.
type File = interface {
	io.WriteCloser
	Abort() error
}

// New prepares access to a bucket. It sends nothing: whether the bucket is there
// and the credentials fit, the first call tells.
func New(cfg Config) (*Bucket, error) {
	if cfg.Getenv == nil {
		cfg.Getenv = os.Getenv
	}
	addr, err := parseAddress(cfg.Address)
	if err != nil {
		return nil, err
	}
	target, err := parseEndpoint(cfg)
	if err != nil {
		return nil, err
	}
	keys, err := readKeys(cfg.Getenv)
	if err != nil {
		return nil, err
	}
	b := &Bucket{address: addr, endpoint: target.url.String(), partSize: cfg.PartSize, redact: keys.redact}
	if b.partSize == 0 {
		b.partSize = defaultPartSize
	}
	if b.partSize < minPartSize {
		return nil, usage(cfg.Address, fmt.Sprintf("a part size of %d bytes is less than stores take", b.partSize), fmt.Sprintf("use at least %d", minPartSize))
	}
	if cfg.Attempts == 0 {
		cfg.Attempts = 5
	}
	b.transport = newTransport()
	client := func(attempts int) (*minio.Core, error) {
		return minio.NewCore(target.url.Host, &minio.Options{
			Creds:      credentials.NewStaticV4(keys.id, keys.secret, keys.token),
			Secure:     target.url.Scheme == "https",
			Region:     target.region,
			Transport:  strict{b.transport},
			MaxRetries: attempts,
		})
	}
	if b.repeats, err = client(cfg.Attempts); err == nil {
		b.once, err = client(1)
	}
	if err != nil {
		return nil, usage(cfg.Address, b.redact(err.Error()), "check the endpoint "+b.endpoint)
	}
	return b, nil
}

// newTransport bounds the waiting for a connection and for the beginning of an
// answer; how long all of it may take is for the caller's context to say. Bytes
// come as they are stored.
func newTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableCompression = true
	t.ResponseHeaderTimeout = 2 * time.Minute
	return t
}

// Close ends idle connections. Files that are open stay usable.
func (b *Bucket) Close() { b.transport.CloseIdleConnections() }

// String is the address.
func (a address) String() string { return "s3://" + a.bucket + strings.TrimSuffix("/"+a.prefix, "/") }

// key is the whole name of the object for a file.
func (a address) key(name string) string { return a.prefix + name }

// file is the address of a file, for errors.
func (a address) file(name string) string {
	if name == "" {
		return a.String()
	}
	return "s3://" + a.bucket + "/" + a.key(name)
}

// plain tells whether a name is a plain file name: one that means the same in a
// folder. Place for backups and its conformance suite say which names are.
func plain(name string) bool {
	strange := func(r rune) bool { return r == '/' || r == '\\' || unicode.IsControl(r) }
	return strings.TrimSpace(name) != "" && name != "." && name != ".." && len(name) <= 250 && utf8.ValidString(name) && !strings.ContainsFunc(name, strange) && !strings.HasSuffix(name, ".tmp")
}

func usage(target, detail, remedy string) error {
	return &firedrill.Error{Op: "open the bucket", Kind: firedrill.KindUsage, Target: target, Detail: detail, Remedy: remedy}
}
