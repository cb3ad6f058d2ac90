package r2

import (
	"context"
	"crypto/md5" //nolint:gosec // R2's etag is made of MD5s
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// upload is how an unfinished multipart upload stands in the index.
type upload struct {
	HTTP   HTTP              `json:"http"`
	Custom map[string]string `json:"custom,omitempty"`
}

// Part is a part of a multipart upload as its client knows it.
type Part struct {
	Number int
	ETag   string
}

func noUpload() *Error {
	return refuse(http.StatusBadRequest, CodeNoUpload, "The specified multipart upload does not exist.")
}

// Begin begins a multipart upload and gives its id.
func (s *Store) Begin(ctx context.Context, bucket string, p Put) (string, error) {
	if _, err := s.Bucket(ctx, bucket); err != nil {
		return "", err
	}
	if err := errors.Join(checkKey(p.Key), checkCustom(p.Custom)); err != nil {
		return "", err
	}
	id, err := s.newID()
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(upload{p.HTTP, p.Custom})
	if err != nil {
		return "", err
	}
	return id, s.tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO uploads(id, bucket, key, body) VALUES (?, ?, ?, ?)", id, bucket, []byte(p.Key), string(body))
		return err
	})
}

// mustUpload finds an upload of this key.
func mustUpload(ctx context.Context, tx *sql.Tx, bucket, key, id string) (upload, error) {
	var u upload
	var body string
	err := tx.QueryRowContext(ctx, "SELECT body FROM uploads WHERE id = ? AND bucket = ? AND key = ?", id, bucket, []byte(key)).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return u, noUpload()
	}
	if err == nil {
		err = json.Unmarshal([]byte(body), &u)
	}
	return u, err
}

// UploadPart stores a part, in place of an earlier one of the same number.
func (s *Store) UploadPart(ctx context.Context, bucket, key, id string, number int, body io.Reader) (Part, error) {
	if number < 1 || number > MaxParts {
		return Part{}, refuse(http.StatusBadRequest, CodeArgument, "Part numbers go from 1 to %d.", MaxParts)
	}
	sums, pc, err := s.write(body, Checksums{})
	if err != nil {
		return Part{}, err
	}
	var old []piece
	err = s.tx(ctx, func(tx *sql.Tx) error {
		if _, err := mustUpload(ctx, tx, bucket, key, id); err != nil {
			return err
		}
		have, err := parts(ctx, tx, id)
		if err != nil {
			return err
		}
		if p, ok := have[number]; ok {
			old = append(old, p.piece)
		}
		_, err = tx.ExecContext(ctx, "INSERT OR REPLACE INTO parts(upload, number, blob, size, etag) VALUES (?, ?, ?, ?, ?)", id, number, pc.Blob, pc.Size, sums.MD5)
		return err
	})
	if err != nil {
		s.discard([]piece{pc})
		return Part{}, err
	}
	s.discard(old)
	return Part{number, sums.MD5}, nil
}

type storedPart struct {
	piece
	etag string
}

func parts(ctx context.Context, tx *sql.Tx, id string) (map[int]storedPart, error) {
	rows, err := tx.QueryContext(ctx, "SELECT number, blob, size, etag FROM parts WHERE upload = ?", id)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err tells what went wrong
	all := map[int]storedPart{}
	for rows.Next() {
		var n int
		var p storedPart
		if err := rows.Scan(&n, &p.Blob, &p.Size, &p.etag); err != nil {
			return nil, err
		}
		all[n] = p
	}
	return all, rows.Err()
}

// Complete makes an object of the parts that are given; the other parts are
// dropped.
func (s *Store) Complete(ctx context.Context, bucket, key, id string, given []Part) (*Object, error) {
	if len(given) == 0 {
		return nil, refuse(http.StatusBadRequest, CodePart, "One or more of the specified parts could not be found.")
	}
	var o *Object
	var old []piece
	err := s.tx(ctx, func(tx *sql.Tx) error {
		u, err := mustUpload(ctx, tx, bucket, key, id)
		if err != nil {
			return err
		}
		have, err := parts(ctx, tx, id)
		if err != nil {
			return err
		}
		if o, err = assemble(key, u, given, have); err != nil {
			return err
		}
		if old, err = s.replace(ctx, tx, bucket, o, Condition{}); err != nil {
			return err
		}
		for _, p := range have { // those that are left
			old = append(old, p.piece)
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM uploads WHERE id = ?", id)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.discard(old)
	return o, nil
}

// assemble puts parts together, and takes them out of have.
func assemble(key string, u upload, given []Part, have map[int]storedPart) (*Object, error) {
	o := &Object{Key: key, HTTP: u.HTTP, Custom: u.Custom}
	digest := md5.New() //nolint:gosec // see above
	last := 0
	for i, g := range given {
		p, ok := have[g.Number]
		if !ok || p.etag != g.ETag || g.Number <= last {
			return nil, refuse(http.StatusBadRequest, CodePart, "One or more of the specified parts could not be found.")
		}
		last = g.Number
		if i < len(given)-1 {
			if p.Size < MinPart {
				return nil, refuse(http.StatusBadRequest, CodeTooSmall, "Your proposed upload is smaller than the minimum allowed object size.")
			}
			if p.Size != have[given[0].Number].Size && i > 0 {
				return nil, refuse(http.StatusBadRequest, CodeUpload, "There was a problem with the multipart upload: all parts but the last have the same size.")
			}
		}
		sum, err := hex.DecodeString(p.etag)
		if err != nil {
			return nil, err
		}
		_, _ = digest.Write(sum) // a hash never fails
		o.Size += p.Size
		o.pieces = append(o.pieces, p.piece)
	}
	for _, g := range given {
		delete(have, g.Number)
	}
	o.ETag = fmt.Sprintf("%x-%d", digest.Sum(nil), len(given))
	return o, nil
}

// Abort drops a multipart upload with its parts.
func (s *Store) Abort(ctx context.Context, bucket, key, id string) error {
	var old []piece
	err := s.tx(ctx, func(tx *sql.Tx) error {
		if _, err := mustUpload(ctx, tx, bucket, key, id); err != nil {
			return err
		}
		have, err := parts(ctx, tx, id)
		if err != nil {
			return err
		}
		for _, p := range have {
			old = append(old, p.piece)
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM uploads WHERE id = ?", id)
		return err
	})
	if err != nil {
		return err
	}
	s.discard(old)
	return nil
}
