package bucket

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7"

	"firedrill"
)

// Names lists the files directly below the prefix, sorted by bytes. Objects
// whose names no file here could have are not named.
func (b *Bucket) Names(ctx context.Context) ([]string, error) {
	c := b.begin(ctx, "list the bucket", "", true)
	ctx, cancel := context.WithCancel(c.ctx) // ends the library's goroutine
	defer cancel()
	var names []string
	for object := range b.repeats.Client.ListObjects(ctx, b.bucket, minio.ListObjectsOptions{Prefix: b.prefix, MaxKeys: b.pageSize}) {
		if object.Err != nil {
			return nil, c.fail(object.Err)
		}
		if name := strings.TrimPrefix(object.Key, b.prefix); plain(name) {
			names = append(names, name)
		}
	}
	if c.ctx.Err() != nil { // the list may have ended early
		return nil, c.givenUp()
	}
	slices.Sort(names)
	return names, nil
}

// Below lists the addresses at or below the prefix that hold a file of a name,
// sorted: each is the address of a bucket of its own.
func (b *Bucket) Below(ctx context.Context, name string) ([]string, error) {
	c := b.begin(ctx, "list the bucket", "", true)
	ctx, cancel := context.WithCancel(c.ctx) // ends the library's goroutine
	defer cancel()
	var found []string
	for object := range b.repeats.Client.ListObjects(ctx, b.bucket, minio.ListObjectsOptions{Prefix: b.prefix, MaxKeys: b.pageSize, Recursive: true}) {
		if object.Err != nil {
			return nil, c.fail(object.Err)
		}
		if folder, is := strings.CutSuffix(object.Key, name); is && (folder == "" || strings.HasSuffix(folder, "/")) {
			found = append(found, address{b.bucket, folder}.String())
		}
	}
	if c.ctx.Err() != nil { // the list may have ended early
		return nil, c.givenUp()
	}
	slices.Sort(found)
	return found, nil
}

// Open reads a file from its beginning. For a file that is not there
// errors.Is(err, fs.ErrNotExist) holds; for a bucket that is not there it does
// not.
func (b *Bucket) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	c, err := b.beginFile(ctx, "read from the bucket", name, true)
	if err != nil {
		return nil, err
	}
	body, info, _, err := b.repeats.GetObject(c.ctx, b.bucket, b.key(name), minio.GetObjectOptions{})
	if err != nil {
		return nil, c.fail(err)
	}
	if info.ETag == "" {
		return nil, errors.Join(c.notAStore(noETag), body.Close())
	}
	return &reader{body, c}, nil
}

// notAStore is the error of an answer that no store gives.
func (c *call) notAStore(detail string) error {
	kind, remedy := firedrill.KindCorrupt, "check the endpoint "+c.b.endpoint+": is something else answering there?"
	if !c.reads {
		kind, remedy = firedrill.KindUnknown, "check the endpoint "+c.b.endpoint+", and "+look
	}
	return c.error(kind, detail, remedy, nil)
}

const noETag = "the answer has no ETag: something else than an S3 store answers"

// reader reads a file, with errors of ours.
type reader struct {
	body io.ReadCloser
	c    *call
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	if err == io.EOF { // as readers give it
		return n, io.EOF
	}
	return n, r.c.fail(err)
}

func (r *reader) Close() error { return r.body.Close() }
