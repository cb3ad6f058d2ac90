package bucket

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/minio/minio-go/v7"

	"firedrill"
)

// Create writes a file. Until Close has given nil nobody sees it. All requests
// of the file end with ctx.
func (b *Bucket) Create(ctx context.Context, name string) (File, error) {
	c, err := b.beginFile(ctx, "write to the bucket", name, false)
	if err != nil {
		return nil, err
	}
	return &upload{b: b, c: c, name: name, key: b.key(name)}, nil
}

// Remove takes a file away; one that is not there is no error.
func (b *Bucket) Remove(ctx context.Context, name string) error {
	c, err := b.beginFile(ctx, "remove from the bucket", name, false)
	if err != nil {
		return err
	}
	err = c.fail(b.repeats.RemoveObject(c.ctx, b.bucket, b.key(name), minio.RemoveObjectOptions{}))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// PutIfAbsent writes a file if there is none of this name, in one step: of
// several that try at once, one succeeds. For the others errors.Is(err,
// fs.ErrExist) holds. It is sent once: where the answer was lost, the error has
// the kind "outcome-unknown", and who needs to know reads the file.
func (b *Bucket) PutIfAbsent(ctx context.Context, name string, data []byte) error {
	c, err := b.beginFile(ctx, "write to the bucket if it is not there", name, false)
	if err != nil {
		return err
	}
	var opts minio.PutObjectOptions
	opts.SetMatchETagExcept("*")
	sum := digest(data)
	info, err := b.once.PutObject(c.ctx, b.bucket, b.key(name), bytes.NewReader(data), int64(len(data)), sum.md5Base64(), sum.sha256Hex(), opts)
	if minio.ToErrorResponse(err).Code == minio.PreconditionFailed {
		return c.error(firedrill.KindConflict, "", "look at what is there", fs.ErrExist)
	}
	if err == nil && info.ETag == "" {
		return c.notAStore(noETag)
	}
	return c.fail(err)
}

// sums are the digests that the store checks what arrived against.
type sums struct {
	md5    [md5.Size]byte
	sha256 [sha256.Size]byte
}

func digest(data []byte) sums { return sums{md5.Sum(data), sha256.Sum256(data)} }

func (s sums) md5Base64() string { return base64.StdEncoding.EncodeToString(s.md5[:]) }
func (s sums) sha256Hex() string { return hex.EncodeToString(s.sha256[:]) }

// upload is a file that is being written. A file of one part goes with one
// request, at Close; a longer one part by part as it comes.
type upload struct {
	b         *Bucket
	c         *call
	name, key string

	part  []byte // the last part, never sent before something follows it
	size  int64  // all that was written
	id    string // of the multipart upload, once there is one
	parts []minio.CompletePart
	tags  []byte // MD5 of each part that was sent

	done bool
	err  error // what stopped it, or what Close gives once it is done
}

func (u *upload) Write(p []byte) (int, error) {
	if u.done {
		return 0, u.c.error(firedrill.KindInternal, "", "", fs.ErrClosed)
	}
	n := 0
	for u.err == nil && n < len(p) {
		if len(u.part) == u.b.partSize {
			if u.err = u.send(); u.err != nil {
				break
			}
		}
		piece := p[n:min(len(p), n+u.b.partSize-len(u.part))]
		u.part = append(u.part, piece...)
		n += len(piece)
		u.size += int64(len(piece))
	}
	return n, u.err
}

// send sends the part that is there.
func (u *upload) send() error {
	if len(u.parts) == maxParts {
		return u.c.error(firedrill.KindUsage, fmt.Sprintf("the file is larger than %d parts of %d bytes", maxParts, u.b.partSize), "use larger parts", nil)
	}
	if u.id == "" {
		id, err := u.b.repeats.NewMultipartUpload(u.c.ctx, u.b.bucket, u.key, minio.PutObjectOptions{})
		if err != nil {
			return u.c.fail(err)
		}
		u.id = id
	}
	sum, number := digest(u.part), len(u.parts)+1
	sent, err := u.b.repeats.PutObjectPart(u.c.ctx, u.b.bucket, u.key, u.id, number, bytes.NewReader(u.part), int64(len(u.part)), minio.PutObjectPartOptions{Md5Base64: sum.md5Base64(), Sha256Hex: sum.sha256Hex()})
	if err != nil {
		return u.c.fail(err)
	}
	if sent.ETag == "" {
		return u.c.notAStore(noETag)
	}
	u.parts = append(u.parts, minio.CompletePart{PartNumber: number, ETag: sent.ETag})
	u.tags = append(u.tags, sum.md5[:]...)
	u.part = u.part[:0]
	return nil
}

// Close makes the file visible, and looks whether it is there as it was sent.
func (u *upload) Close() error {
	if u.done {
		return u.err
	}
	u.done = true
	if u.err == nil {
		u.err = u.finish()
	}
	u.part = nil
	if u.err != nil {
		u.err = errors.Join(u.err, u.giveUp())
	}
	return u.err
}

// Abort gives the file up.
func (u *upload) Abort() error {
	if u.done {
		return nil
	}
	u.done, u.part, u.err = true, nil, u.c.error(firedrill.KindInternal, "", "", fs.ErrClosed)
	return u.giveUp()
}

// finish sends what is left, and checks what is stored. Where the answer to the
// last request was lost, what is stored tells whether it took effect.
func (u *upload) finish() error {
	var tag, want string
	var err error
	if u.id == "" {
		sum := digest(u.part)
		want = hex.EncodeToString(sum.md5[:])
		var info minio.UploadInfo
		info, err = u.b.repeats.PutObject(u.c.ctx, u.b.bucket, u.key, bytes.NewReader(u.part), u.size, sum.md5Base64(), sum.sha256Hex(), minio.PutObjectOptions{})
		tag = info.ETag
	} else {
		if err := u.send(); err != nil {
			return err
		}
		all := md5.Sum(u.tags)
		want = fmt.Sprintf("%x-%d", all, len(u.parts))
		var info minio.UploadInfo
		info, err = u.b.repeats.CompleteMultipartUpload(u.c.ctx, u.b.bucket, u.key, u.id, u.parts, minio.PutObjectOptions{})
		tag = info.ETag
	}
	failed := u.c.fail(err)
	if failed == nil && tag == "" {
		failed = u.c.notAStore(noETag)
	}
	switch {
	case failed == nil:
		return u.check(tag)
	case firedrill.KindOf(failed) == firedrill.KindUnknown || minio.ToErrorResponse(err).Code == minio.NoSuchUpload:
		// A repeated request may find the upload gone because the first one
		// completed it. Only the very content that was sent counts.
		if u.check(want) == nil {
			return nil
		}
		return failed
	default:
		return failed
	}
}

// check looks whether the object that is stored is the one that was sent.
func (u *upload) check(tag string) error {
	info, err := u.b.repeats.StatObject(u.c.ctx, u.b.bucket, u.key, minio.StatObjectOptions{})
	switch {
	case err != nil:
		return u.c.fail(err)
	case info.Size != u.size:
		return u.c.error(firedrill.KindCorrupt, fmt.Sprintf("%d bytes were sent, %d are stored", u.size, info.Size), "repeat; if it comes again, something else writes there, or the store loses data", nil)
	case info.ETag != tag:
		return u.c.error(firedrill.KindConflict, "something else was stored there meanwhile", "let one program at a time write there", nil)
	}
	return nil
}

// giveUpTimeout bounds the clean-up, which goes on when the caller has given up.
const giveUpTimeout = 30 * time.Second

// giveUp leaves nothing of an upload that is not complete.
func (u *upload) giveUp() error {
	if u.id == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(u.c.ctx), giveUpTimeout)
	defer cancel()
	c := u.b.begin(ctx, "give up an upload to the bucket", u.name, false)
	err := u.b.repeats.AbortMultipartUpload(c.ctx, u.b.bucket, u.key, u.id)
	if err == nil || minio.ToErrorResponse(err).Code == minio.NoSuchUpload {
		return nil
	}
	return c.fail(err)
}
