package r2

import (
	"context"
	"crypto/md5"  //nolint:gosec // R2's etag is the MD5
	"crypto/sha1" //nolint:gosec // one of the checksums that R2 offers
	"crypto/sha256"
	"crypto/sha512"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"firedrill/internal/sandbox/disk"
)

// Put describes an object that is stored.
type Put struct {
	Key    string
	HTTP   HTTP
	Custom map[string]string
	// Expect are digests that the bytes must have; empty ones are not checked.
	Expect Checksums
	If     Condition
}

// Head tells what is known of an object.
func (s *Store) Head(ctx context.Context, bucket, key string) (*Object, error) {
	if _, err := s.Bucket(ctx, bucket); err != nil {
		return nil, err
	}
	if err := checkKey(key); err != nil {
		return nil, err
	}
	o, err := find(ctx, s.db, bucket, key)
	if err == nil && o == nil {
		err = noKey()
	}
	return o, err
}

// Content is an object's bytes, or a part of them.
type Content struct {
	io.Reader
	Offset, Length int64
	files          []*os.File
}

// Close closes the files.
func (c *Content) Close() error {
	var errs []error
	for _, f := range c.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// Get opens an object. It can be read to its end also when it is replaced
// meanwhile.
func (s *Store) Get(ctx context.Context, bucket, key string, r Range, c Condition) (*Object, *Content, error) {
	// A file may go between the look into the index and its opening; then there
	// is another version.
	for try := 0; ; try++ {
		o, err := s.Head(ctx, bucket, key)
		if err != nil {
			return nil, nil, err
		}
		if !c.holds(o) {
			return nil, nil, preconditionFailed(o)
		}
		offset, length, err := r.resolve(o.Size)
		if err != nil {
			return nil, nil, err
		}
		content, err := s.open(o, offset, length)
		if err == nil {
			return o, content, nil
		}
		if !errors.Is(err, os.ErrNotExist) || try == 3 {
			return nil, nil, fmt.Errorf("R2: read %s: %w", key, err)
		}
	}
}

func (s *Store) open(o *Object, offset, length int64) (*Content, error) {
	c := &Content{Offset: offset, Length: length}
	var parts []io.Reader
	at := int64(0)
	for _, p := range o.pieces {
		from, to := max(offset, at), min(offset+length, at+p.Size)
		if from < to {
			f, err := os.Open(s.blob(p.Blob))
			if err != nil {
				return nil, errors.Join(err, c.Close())
			}
			c.files = append(c.files, f)
			parts = append(parts, io.NewSectionReader(f, from-at, to-from))
		}
		at += p.Size
	}
	c.Reader = io.MultiReader(parts...)
	return c, nil
}

// Store stores an object, durable when it returns.
func (s *Store) Store(ctx context.Context, bucket string, p Put, body io.Reader) (*Object, error) {
	if _, err := s.Bucket(ctx, bucket); err != nil {
		return nil, err
	}
	if err := errors.Join(checkKey(p.Key), checkCustom(p.Custom)); err != nil {
		return nil, err
	}
	sums, pc, err := s.write(body, p.Expect)
	if err != nil {
		return nil, err
	}
	o := &Object{Key: p.Key, Size: pc.Size, ETag: sums.MD5, HTTP: p.HTTP, Custom: p.Custom, Checksums: sums, pieces: []piece{pc}}
	var old []piece
	err = s.tx(ctx, func(tx *sql.Tx) (err error) {
		old, err = s.replace(ctx, tx, bucket, o, p.If)
		return err
	})
	if err != nil {
		s.discard([]piece{pc})
		return nil, err
	}
	s.discard(old)
	return o, nil
}

// write puts bytes into a new file, synced, with their digests: always the MD5,
// and those that are expected.
func (s *Store) write(body io.Reader, expect Checksums) (sums Checksums, pc piece, err error) {
	if pc.Blob, err = s.newID(); err != nil {
		return sums, pc, err
	}
	f, err := os.OpenFile(s.blob(pc.Blob), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return sums, pc, fmt.Errorf("R2: %w", err)
	}
	defer func() {
		if err != nil {
			s.discard([]piece{pc})
		}
	}()
	type digest struct {
		name       string
		h          hash.Hash
		want, into *string
	}
	digests := []digest{{"MD5", md5.New(), &expect.MD5, &sums.MD5}}                                                                      //nolint:gosec // see above
	for _, d := range []digest{{"SHA-1", sha1.New(), &expect.SHA1, &sums.SHA1}, {"SHA-256", sha256.New(), &expect.SHA256, &sums.SHA256}, //nolint:gosec // see above
		{"SHA-384", sha512.New384(), &expect.SHA384, &sums.SHA384}, {"SHA-512", sha512.New(), &expect.SHA512, &sums.SHA512}} {
		if *d.want != "" {
			digests = append(digests, d)
		}
	}
	to := []io.Writer{f}
	for _, d := range digests {
		to = append(to, d.h)
	}
	pc.Size, err = io.Copy(io.MultiWriter(to...), io.LimitReader(body, MaxObject+1))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return sums, pc, refuse(http.StatusBadRequest, CodeUpload, "There was a problem with the upload: %v", err)
	}
	if err := disk.SyncFolder(filepath.Dir(f.Name())); err != nil {
		return sums, pc, fmt.Errorf("R2: %w", err)
	}
	if pc.Size > MaxObject {
		return sums, pc, refuse(http.StatusBadRequest, CodeTooLarge, "Your proposed upload exceeds the maximum allowed object size.")
	}
	for _, d := range digests {
		*d.into = hex.EncodeToString(d.h.Sum(nil))
		if *d.want != "" && *d.want != *d.into {
			return sums, pc, refuse(http.StatusBadRequest, CodeDigest, "The %s checksum you specified did not match what we received.\nYou provided a %s checksum with value: %s\nActual %s was: %s", d.name, d.name, *d.want, d.name, *d.into)
		}
	}
	return sums, pc, nil
}

// Delete removes objects; those that do not exist count as removed.
func (s *Store) Delete(ctx context.Context, bucket string, keys []string) error {
	if _, err := s.Bucket(ctx, bucket); err != nil {
		return err
	}
	var old []piece
	err := s.tx(ctx, func(tx *sql.Tx) error {
		for _, key := range keys {
			if err := checkKey(key); err != nil {
				return err
			}
			o, err := find(ctx, tx, bucket, key)
			if err != nil || o == nil {
				if err != nil {
					return err
				}
				continue
			}
			old = append(old, o.pieces...)
			if _, err := tx.ExecContext(ctx, "DELETE FROM objects WHERE bucket = ? AND key = ?", bucket, []byte(key)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.discard(old)
	return nil
}
