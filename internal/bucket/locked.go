package bucket

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/minio/minio-go/v7"

	"firedrill"
)

// WriteLocked writes a small file that nobody, the owner of the bucket included, can
// change or remove before a moment: object lock in mode COMPLIANCE. It looks whether
// the store really keeps it so. The bucket has to have been made with object lock.
func (b *Bucket) WriteLocked(ctx context.Context, name string, data []byte, until time.Time) error {
	c, err := b.beginFile(ctx, "write to the bucket under lock", name, false)
	if err != nil {
		return err
	}
	const remedy = "use a bucket that was made with object lock, on a store that has it"
	sum := digest(data)
	opts := minio.PutObjectOptions{Mode: minio.Compliance, RetainUntilDate: until.UTC()}
	info, err := b.once.PutObject(c.ctx, b.bucket, b.key(name), bytes.NewReader(data), int64(len(data)), sum.md5Base64(), sum.sha256Hex(), opts)
	switch answer := minio.ToErrorResponse(err); {
	case answer.Code == "InvalidRequest" || answer.Code == "NotImplemented":
		return c.error(firedrill.KindUnsupported, "nothing can be locked there: "+c.text(answer), remedy, nil)
	case err != nil:
		return c.fail(err)
	case info.ETag == "":
		return c.notAStore(noETag)
	}
	kept, err := b.repeats.StatObject(c.ctx, b.bucket, b.key(name), minio.StatObjectOptions{VersionID: info.VersionID})
	if err != nil {
		return c.fail(err)
	}
	t, terr := time.Parse(time.RFC3339, kept.Metadata.Get("X-Amz-Object-Lock-Retain-Until-Date"))
	if kept.Metadata.Get("X-Amz-Object-Lock-Mode") != string(minio.Compliance) || terr != nil || t.Before(until.Truncate(time.Second)) {
		return c.error(firedrill.KindUnsupported, "it is stored, and not locked", remedy, nil)
	}
	return nil
}

// Versions gives the content of every version of every file directly below the
// prefix: what a newer version or a mark of removal hides, too. What is not locked
// counts as well, because not every store tells the lock of an older version.
func (b *Bucket) Versions(ctx context.Context) ([][]byte, error) {
	c := b.begin(ctx, "read the versions in the bucket", "", true)
	ctx, cancel := context.WithCancel(c.ctx) // ends the library's goroutine
	defer cancel()
	var found [][]byte
	for object := range b.repeats.Client.ListObjects(ctx, b.bucket, minio.ListObjectsOptions{Prefix: b.prefix, WithVersions: true}) {
		if object.Err != nil {
			return nil, c.fail(object.Err)
		}
		if object.IsDeleteMarker || !plain(object.Key[min(len(object.Key), len(b.prefix)):]) {
			continue
		}
		data, err := b.version(ctx, object.Key, object.VersionID)
		if err != nil {
			return nil, c.fail(err)
		}
		found = append(found, data)
	}
	if c.ctx.Err() != nil { // the list may have ended early
		return nil, c.givenUp()
	}
	return found, nil
}

// version reads a version of a file.
func (b *Bucket) version(ctx context.Context, key, id string) ([]byte, error) {
	if id == "null" { // a file of a bucket without versions
		id = ""
	}
	body, _, _, err := b.repeats.GetObject(ctx, b.bucket, key, minio.GetObjectOptions{VersionID: id})
	if err != nil {
		return nil, err
	}
	defer body.Close() //nolint:errcheck // reading tells
	data, err := io.ReadAll(io.LimitReader(body, maxSmall+1))
	if err == nil && len(data) > maxSmall {
		err = fmt.Errorf("%s is larger than %d bytes", key, maxSmall)
	}
	return data, err
}
