package api

import (
	"crypto/md5" //nolint:gosec // the platform's protocol compares uploads by MD5
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"firedrill/internal/sandbox/d1"
)

// transferPrefix is where bodies go in and out without a token, by an address
// that nobody can guess.
const transferPrefix = "/transfer/"

// transferTime is how long such an address is good for.
const transferTime = time.Hour

// transfers holds bodies on their way: uploads for an import, downloads of an
// export. They are files below one folder, removed when they are used up.
type transfers struct {
	dir string
	now func() time.Time
	mu  sync.Mutex
	all map[string]*transfer
}

type transfer struct {
	path   string
	etag   string // MD5 of the body, hex
	upload bool
	until  time.Time
}

func newTransfers(dir string, now func() time.Time) *transfers {
	return &transfers{dir: dir, now: now, all: map[string]*transfer{}}
}

// open makes an address and its file.
func (t *transfers) open(upload bool, etag string) (name string, err error) {
	secret := make([]byte, 24)
	if _, err := rand.Read(secret); err != nil {
		return "", fmt.Errorf("transfer: %w", err)
	}
	name = hex.EncodeToString(secret) + ".sql"
	t.mu.Lock()
	defer t.mu.Unlock()
	for n, old := range t.all {
		if t.now().After(old.until) {
			delete(t.all, n)
			if err := os.Remove(old.path); err != nil && !os.IsNotExist(err) {
				return "", fmt.Errorf("transfer: %w", err)
			}
		}
	}
	t.all[name] = &transfer{path: filepath.Join(t.dir, name), etag: etag, upload: upload, until: t.now().Add(transferTime)}
	return name, nil
}

func (t *transfers) find(name string) (transfer, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tr, ok := t.all[name]
	if !ok || t.now().After(tr.until) {
		return transfer{}, false
	}
	return *tr, true
}

// drop forgets an address and removes its file.
func (t *transfers) drop(name string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	tr, ok := t.all[name]
	if !ok {
		return nil
	}
	delete(t.all, name)
	return os.Remove(tr.path)
}

// serve answers uploads and downloads; false: not one of ours.
func (t *transfers) serve(w http.ResponseWriter, r *http.Request) bool {
	name, ok := strings.CutPrefix(r.URL.Path, transferPrefix)
	if !ok {
		return false
	}
	tr, ok := t.find(name)
	switch {
	case !ok:
		http.Error(w, "no such transfer, or its time is over", http.StatusNotFound)
	case tr.upload && r.Method == http.MethodPut:
		t.receive(w, r, tr)
	case !tr.upload && r.Method == http.MethodGet:
		w.Header().Set("Content-Type", "application/sql")
		http.ServeFile(w, r, tr.path)
	default:
		http.Error(w, "this transfer goes the other way", http.StatusMethodNotAllowed)
	}
	return true
}

func (t *transfers) receive(w http.ResponseWriter, r *http.Request, tr transfer) {
	f, err := os.OpenFile(tr.path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		http.Error(w, "the upload could not be stored: "+err.Error(), http.StatusInternalServerError)
		return
	}
	sum := md5.New() //nolint:gosec // see the import
	_, err = io.Copy(io.MultiWriter(f, sum), http.MaxBytesReader(w, r.Body, d1.MaxImport))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		http.Error(w, "the upload broke off: "+err.Error(), http.StatusBadRequest)
		return
	}
	etag := hex.EncodeToString(sum.Sum(nil))
	if etag != tr.etag {
		http.Error(w, "the upload has another MD5 than was announced", http.StatusBadRequest)
		return
	}
	w.Header().Set("ETag", `"`+etag+`"`)
	w.WriteHeader(http.StatusOK)
}

// importSQL follows the three actions of an import. The sandbox imports while
// it answers "ingest", so there is nothing to poll for.
func (s *Server) importSQL(q request) (answer, error) {
	var in struct {
		Action   string `json:"action"`
		Etag     string `json:"etag"`
		Filename string `json:"filename"`
	}
	if err := q.decode(&in); err != nil {
		return answer{}, err
	}
	if _, err := s.cfg.D1.Get(q.r.Context(), q.databaseID()); err != nil {
		return answer{}, err
	}
	switch in.Action {
	case "init":
		if len(in.Etag) != 32 {
			return answer{}, badBody("etag must be the MD5 of the file, 32 hexadecimal digits")
		}
		name, err := s.files.open(true, strings.ToLower(in.Etag))
		return answer{result: map[string]any{"success": true, "type": "import", "filename": name, "upload_url": s.cfg.Base() + transferPrefix + name, "messages": []string{}}}, err
	case "ingest":
		return s.ingest(q, in.Filename, strings.ToLower(in.Etag))
	case "poll":
		return answer{result: map[string]any{"success": false, "type": "import", "error": "Not currently importing anything.", "messages": []string{}}}, nil
	}
	return answer{}, badBody("action %q is none of init, ingest, poll", in.Action)
}

func (s *Server) ingest(q request, name, etag string) (answer, error) {
	tr, ok := s.files.find(name)
	if !ok || !tr.upload || tr.etag != etag {
		return answer{}, badBody("nothing was uploaded under this name")
	}
	f, err := os.Open(tr.path)
	if err != nil {
		return answer{}, badBody("nothing was uploaded under this name")
	}
	defer f.Close() //nolint:errcheck // it was only read
	res, err := s.cfg.D1.Import(q.r.Context(), q.databaseID(), f)
	if err != nil {
		return answer{}, err
	}
	if err := s.files.drop(name); err != nil {
		return answer{}, err
	}
	return answer{result: map[string]any{"success": true, "type": "import", "status": "complete", "at_bookmark": res.Bookmark, "messages": []string{},
		"result": map[string]any{"num_queries": res.Queries, "final_bookmark": res.Bookmark, "meta": viewMeta(res.Meta)}}}, nil
}

// exportSQL writes the dump while it answers; the client then fetches it.
func (s *Server) exportSQL(q request) (answer, error) {
	var in struct {
		OutputFormat string `json:"output_format"`
		DumpOptions  struct {
			NoSchema bool     `json:"no_schema"`
			NoData   bool     `json:"no_data"`
			Tables   []string `json:"tables"`
		} `json:"dump_options"`
	}
	if err := q.decode(&in); err != nil {
		return answer{}, err
	}
	name, err := s.files.open(false, "")
	if err != nil {
		return answer{}, err
	}
	tr, _ := s.files.find(name)
	f, err := os.OpenFile(tr.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return answer{}, fmt.Errorf("export: %w", err)
	}
	res, err := s.cfg.D1.Export(q.r.Context(), q.databaseID(), f, d1.ExportOptions{NoSchema: in.DumpOptions.NoSchema, NoData: in.DumpOptions.NoData, Tables: in.DumpOptions.Tables})
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		if derr := s.files.drop(name); derr != nil {
			s.cfg.Log.Error("an export could not be removed", "err", derr)
		}
		return answer{}, err
	}
	return answer{result: map[string]any{"success": true, "type": "export", "status": "complete", "at_bookmark": res.Bookmark, "messages": exportMessages(res),
		"result": map[string]any{"filename": name, "signed_url": s.cfg.Base() + transferPrefix + name}}}, nil
}

// exportMessages warns of what an import will refuse: the platform too exports
// rows that it does not import again.
func exportMessages(res d1.ExportResult) []string {
	messages := []string{}
	for _, table := range slices.Sorted(maps.Keys(res.TooLong)) {
		messages = append(messages, fmt.Sprintf("%d statements of table %s are longer than %d bytes: an import will refuse them", res.TooLong[table], table, d1.MaxStatement))
	}
	return messages
}
