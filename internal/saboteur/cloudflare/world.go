// Package cloudflare holds the lies of a cloud that speaks Cloudflare's v4 API:
// each for each drill that it can touch, and the world that they are told in, a
// small application with data that lies can bite on.
//
// A lie about a restore is told at every restore, the undo's included, and one
// about reading is told to every reader of that path: nothing but the truth of a
// check is to catch it.
package cloudflare

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"firedrill/internal/saboteur"
)

// The drills that have lies.
const (
	D1PITR         = "d1-pitr"
	WorkerRollback = "worker-rollback"
	KVBackup       = "kv-backup-restore"
)

// What a stage's things are called.
const (
	account   = "account"
	database  = "database"
	namespace = "namespace"
	worker    = "worker"
	bystander = "bystander" // another Worker, if a lie needs one
	name      = "name"      // of the database and of the Worker, and title of the namespace
)

// What a lie may need of its world beyond the usual.
const (
	needThousands = "thousands of keys"    // of the list, so that it has pages
	needTen       = "ten thousand keys"    // of which one may be lost
	needLarge     = "a value beyond 1 MiB" // to be cut
)

var (
	//go:embed app/worker.js
	workerSource string
	//go:embed app/schema.sql
	schema string
)

// the secret is of no use anywhere.
const secretText = "selftest-secret"

// Build makes the world of a run through the API behind the stage: a database, a
// namespace and a Worker, all called title, and says in the stage's things what
// they are. accountID is the account, now the time that expirations count from.
func Build(ctx context.Context, s *saboteur.Stage, accountID, title string, needs []string, now time.Time) error {
	s.Things[account], s.Things[name] = accountID, title
	var d struct{ UUID string }
	if err := s.Ask(ctx, http.MethodPost, path(s, "d1/database"), map[string]string{"name": title}, &d); err != nil {
		return err
	}
	s.Things[database] = d.UUID
	if err := s.Ask(ctx, http.MethodPost, path(s, "d1/database/", d.UUID, "/query"), map[string]string{"sql": schema}, nil); err != nil {
		return err
	}
	var n struct{ ID string }
	if err := s.Ask(ctx, http.MethodPost, path(s, "storage/kv/namespaces"), map[string]string{"title": title}, &n); err != nil {
		return err
	}
	s.Things[namespace] = n.ID
	if err := putPairs(ctx, s, n.ID, pairs(needs, now)); err != nil {
		return err
	}
	if err := upload(ctx, s, http.MethodPut, path(s, "workers/scripts/", title), version{}, nil); err != nil {
		return err
	}
	s.Things[worker] = title
	return s.Ask(ctx, http.MethodPost, path(s, "workers/scripts/", title, "/subdomain"), map[string]bool{"enabled": true}, nil)
}

// Raze takes the Workers away again: each of them is a process. The databases and
// namespaces go with the sandbox.
func Raze(ctx context.Context, s *saboteur.Stage) error {
	var all []error
	for _, thing := range []string{worker, bystander} {
		if s.Things[thing] != "" {
			all = append(all, s.Ask(ctx, http.MethodDelete, path(s, "workers/scripts/", s.Things[thing], "?force=true"), nil, nil))
		}
	}
	return errors.Join(all...)
}

// path is a path below the account.
func path(s *saboteur.Stage, parts ...string) string {
	return "/accounts/" + s.Things[account] + "/" + strings.Join(parts, "")
}

// pair is a key of a bulk write.
type pair struct {
	Key        string          `json:"key"`
	Value      string          `json:"value"`
	Base64     bool            `json:"base64,omitempty"`
	Expiration int64           `json:"expiration,omitempty"`
	Metadata   json.RawMessage `json:"metadata,omitempty"`
}

// The keys that lies bite on. The application shows none of them.
const (
	keyDescribed = "unseen/described"
	keyExpiring  = "unseen/expiring"
	keyBytes     = "unseen/bytes"
	keyOne       = "unseen/one"
	keyOther     = "unseen/other"
	keyLarge     = "unseen/large"
	keyDeleted   = "unseen/deleted before the backup"
)

// beyond is metadata with an integer that a careless reader rounds, and a null.
const beyond = `{"big":9007199254740993,"nothing":null,"by":"selftest"}`

// pairs are what the namespace holds.
func pairs(needs []string, now time.Time) []pair {
	var all []pair
	for i := range 30 {
		all = append(all, pair{Key: fmt.Sprintf("shown/%03d", i), Value: fmt.Sprintf("setting %d", i), Metadata: json.RawMessage(fmt.Sprintf(`{"n":%d}`, i))})
	}
	all = append(all,
		pair{Key: keyDescribed, Value: "described", Metadata: json.RawMessage(beyond)},
		pair{Key: keyExpiring, Value: "expiring", Expiration: now.Add(10 * 24 * time.Hour).Unix(), Metadata: json.RawMessage(`{"n":1}`)},
		pair{Key: keyBytes, Value: base64.StdEncoding.EncodeToString([]byte{0, 1, 0xfe, 0xff, 0x80}), Base64: true},
		pair{Key: keyOne, Value: "value of one"}, pair{Key: keyOther, Value: "value of the other"})
	for _, need := range needs {
		switch need {
		case needLarge:
			all = append(all, pair{Key: keyLarge, Value: strings.Repeat("large ", 1<<18)})
		case needThousands, needTen:
			for i := range map[string]int{needThousands: 1500, needTen: 9965}[need] {
				all = append(all, pair{Key: fmt.Sprintf("unseen/many/%05d", i), Value: "v"})
			}
		}
	}
	return all
}

// putPairs writes into a namespace.
func putPairs(ctx context.Context, s *saboteur.Stage, id string, all []pair) error {
	return s.Ask(ctx, http.MethodPut, path(s, "storage/kv/namespaces/", id, "/bulk"), all, nil)
}

// version is a version of the Worker that differs from the honest one.
type version struct {
	release  string // "" for the current one
	platform string // "" for the honest variable
}

// upload uploads a version of the Worker; into gets the result.
func upload(ctx context.Context, s *saboteur.Stage, method, to string, v version, into any) error {
	source, platform := workerSource, "selftest"
	if v.release != "" {
		source = strings.Replace(source, `RELEASE = "current"`, fmt.Sprintf("RELEASE = %q", v.release), 1)
	}
	if v.platform != "" {
		platform = v.platform
	}
	bindings := []map[string]string{
		{"type": "d1", "name": "DB", "id": s.Things[database]},
		{"type": "kv_namespace", "name": "SETTINGS", "namespace_id": s.Things[namespace]},
		{"type": "plain_text", "name": "PLATFORM", "text": platform},
		{"type": "secret_text", "name": "SECRET", "text": secretText},
	}
	metadata, err := json.Marshal(map[string]any{"main_module": "worker.js", "compatibility_date": "2026-04-01", "bindings": bindings})
	if err != nil {
		return err
	}
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for _, part := range []struct{ disposition, kind, text string }{
		{`form-data; name="metadata"`, "application/json", string(metadata)},
		{`form-data; name="worker.js"; filename="worker.js"`, "application/javascript+module", source},
	} {
		w, err := form.CreatePart(textproto.MIMEHeader{"Content-Disposition": {part.disposition}, "Content-Type": {part.kind}})
		if err == nil {
			_, err = w.Write([]byte(part.text))
		}
		if err != nil {
			return err
		}
	}
	if err := form.Close(); err != nil {
		return err
	}
	a, err := s.Call(ctx, method, to, form.FormDataContentType(), body.Bytes())
	if err != nil {
		return err
	}
	return a.Result(method+" "+to, into)
}

// value gives a key's value and metadata.
func value(ctx context.Context, s *saboteur.Stage, id, key string) (pair, error) {
	p := pair{Key: key}
	a, err := s.Call(ctx, http.MethodGet, path(s, "storage/kv/namespaces/", id, "/values/", url.PathEscape(key)), "", nil)
	if err != nil {
		return p, err
	}
	if a.Status != http.StatusOK {
		return p, fmt.Errorf("key %s: status %d", key, a.Status)
	}
	p.Value, p.Base64 = base64.StdEncoding.EncodeToString(a.Body), true
	if text := a.Header.Get("Expiration"); text != "" {
		if _, err := fmt.Sscan(text, &p.Expiration); err != nil {
			return p, err
		}
	}
	err = s.Ask(ctx, http.MethodGet, path(s, "storage/kv/namespaces/", id, "/metadata/", url.PathEscape(key)), nil, &p.Metadata)
	return p, err
}
