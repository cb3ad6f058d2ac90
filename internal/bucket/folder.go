package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7"

	"firedrill"
)

// In gives a folder below the prefix, with the same connections: Close of either
// ends the idle ones of both. Each part has to be a plain file name.
func (b *Bucket) In(parts ...string) (*Bucket, error) {
	sub := *b
	for _, part := range parts {
		if !plain(part) {
			return nil, usage(b.String(), fmt.Sprintf("%q is no plain name of a folder", part), "use another name")
		}
		sub.prefix += part + "/"
	}
	return &sub, nil
}

// Folders lists the folders directly below the prefix that hold something,
// sorted.
func (b *Bucket) Folders(ctx context.Context) ([]string, error) {
	c := b.begin(ctx, "list the bucket", "", true)
	ctx, cancel := context.WithCancel(c.ctx) // ends the library's goroutine
	defer cancel()
	var folders []string
	for object := range b.repeats.Client.ListObjects(ctx, b.bucket, minio.ListObjectsOptions{Prefix: b.prefix, MaxKeys: b.pageSize}) {
		if object.Err != nil {
			return nil, c.fail(object.Err)
		}
		if name, is := strings.CutSuffix(strings.TrimPrefix(object.Key, b.prefix), "/"); is && plain(name) {
			folders = append(folders, name)
		}
	}
	if c.ctx.Err() != nil { // the list may have ended early
		return nil, c.givenUp()
	}
	slices.Sort(folders)
	return folders, nil
}

// Read gives the whole of a small file. For one that is not there
// errors.Is(err, fs.ErrNotExist) holds.
func (b *Bucket) Read(ctx context.Context, name string) ([]byte, error) {
	r, err := b.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(r, maxSmall+1))
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	if len(data) > maxSmall {
		return nil, &firedrill.Error{Op: "read from the bucket", Kind: firedrill.KindCorrupt, Target: b.file(name), Detail: fmt.Sprintf("it is larger than %d bytes", maxSmall), Remedy: "see what wrote it"}
	}
	return data, nil
}

// maxSmall bounds what is read into memory.
const maxSmall = 64 << 20

// Write writes a small file, over an older one.
func (b *Bucket) Write(ctx context.Context, name string, data []byte) error {
	f, err := b.Create(ctx, name)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Abort())
	}
	return f.Close()
}
