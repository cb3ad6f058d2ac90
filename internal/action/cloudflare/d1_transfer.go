package cloudflare

import (
	"context"
	"crypto/md5" //nolint:gosec // the platform's protocol compares uploads by MD5
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"firedrill"
	"firedrill/internal/backup"
	"firedrill/internal/hold"
)

const (
	// firstPoll is between two questions about an import or export; it grows to
	// lastPoll. All of them together are longestTransfer at most.
	firstPoll       = 250 * time.Millisecond
	lastPoll        = 5 * time.Second
	longestTransfer = 2 * time.Hour
	// transferPatience is for a platform that imports or exports while it answers.
	transferPatience = 30 * time.Minute
)

// transfer is what an import or an export answers.
type transfer struct {
	Success  *bool    `json:"success"`
	Status   string   `json:"status"`
	Bookmark string   `json:"at_bookmark"`
	Error    string   `json:"error"`
	Errors   []string `json:"errors"`
	Messages []string `json:"messages"`
	Filename string   `json:"filename"`
	Upload   string   `json:"upload_url"`
	Result   *struct {
		Signed  string `json:"signed_url"`
		Queries *int64 `json:"num_queries"`
	} `json:"result"`
}

// idle tells of the answer to a question about a transfer that is not there.
func (t transfer) idle() bool {
	return t.Success != nil && !*t.Success && strings.HasPrefix(t.Error, "Not currently")
}

// failed is the error of a transfer that says that it failed; nil for others.
func (t transfer) failed(req Request) error {
	var texts []string
	for _, s := range append([]string{t.Error}, t.Errors...) {
		if s != "" {
			texts = append(texts, oneLine(s))
		}
	}
	if t.Status != "error" && (t.Success == nil || *t.Success) && len(texts) == 0 {
		return nil
	}
	if len(texts) == 0 {
		texts = []string{"failed without a reason"}
	}
	detail := strings.Join(texts, "; ")
	if lostOnTheWay(detail) {
		kind := firedrill.KindUnknown
		if req.Reads {
			kind = firedrill.KindUnavailable
		}
		return &firedrill.Error{Op: req.Op, Kind: kind, Target: req.Target, Detail: detail, Remedy: remedy(kind)}
	}
	return &firedrill.Error{Op: req.Op, Kind: firedrill.KindInvalid, Target: req.Target, Detail: detail, Remedy: "look at the statement that is named"}
}

// transfer sends one request of an import or export.
func (d *D1) transfer(ctx context.Context, way string, reads, safe bool, body map[string]any) (transfer, Request, error) {
	req := d.d.request(d.op, http.MethodPost, way)
	req.Reads, req.Safe, req.Patience = reads, safe, transferPatience
	var t transfer
	var err error
	if req.Body, err = json.Marshal(body); err != nil {
		return t, req, err
	}
	resp, err := d.d.c.Do(ctx, req)
	if err != nil {
		return t, req, err
	}
	err = resp.Decode(req, &t)
	if err == nil && t.Success == nil {
		err = unreadable(req, "the answer does not say whether it succeeded")
	}
	return t, req, err
}

// follow asks until a transfer is over.
func (d *D1) follow(ctx context.Context, t transfer, req Request, ask func(bookmark string) (transfer, Request, error)) (transfer, error) {
	pause, waited := firstPoll, time.Duration(0)
	for {
		if err := t.failed(req); err != nil {
			return t, err
		}
		if t.Status == "complete" {
			return t, nil
		}
		if t.Status != "active" && t.Status != "" {
			return t, unreadable(req, "the state of the transfer is "+oneLine(t.Status))
		}
		if waited > longestTransfer {
			return t, &firedrill.Error{Op: d.op, Kind: firedrill.KindTimeout, Target: req.Target, Detail: fmt.Sprintf("is still at it after %s", longestTransfer), Remedy: "look at the database, then repeat"}
		}
		if d.d.tell != nil {
			text := "waiting for the platform"
			if n := len(t.Messages); n > 0 {
				text = oneLine(t.Messages[n-1])
			}
			d.d.tell(text)
		}
		if err := d.d.c.Sleep(ctx, pause); err != nil {
			return t, interrupted(ctx, req, err)
		}
		waited += pause
		pause = min(2*pause, lastPoll)
		next, nreq, err := ask(t.Bookmark)
		if err != nil {
			return t, err
		}
		if next.Bookmark == "" {
			next.Bookmark = t.Bookmark
		}
		t, req = next, nreq
	}
}

// Export implements backup.SQLSource.
func (d *D1) Export(ctx context.Context) (backup.SQLExport, error) {
	ask := func(bookmark string) (transfer, Request, error) {
		body := map[string]any{"output_format": "polling", "dump_options": map[string]any{"no_schema": false, "no_data": false, "tables": []string{}}}
		if bookmark != "" {
			body["current_bookmark"] = bookmark
		}
		return d.transfer(ctx, "export", true, false, body)
	}
	t, req, err := ask("")
	if err == nil {
		t, err = d.follow(ctx, t, req, ask)
	}
	if err != nil {
		return backup.SQLExport{}, err
	}
	if t.Result == nil || t.Result.Signed == "" || t.Bookmark == "" {
		return backup.SQLExport{}, unreadable(req, "the export is complete and has no address or no bookmark")
	}
	signed := t.Result.Signed
	return backup.SQLExport{Bookmark: t.Bookmark, Open: func(ctx context.Context) (io.ReadCloser, error) { return d.download(ctx, signed) }}, nil
}

// signed makes a request to an address that the platform gave. No token goes
// there, and nothing goes unencrypted over a network. The address is a secret: it
// stands in no error.
func (d *D1) signed(ctx context.Context, method, address string, body io.Reader) (*http.Request, error) {
	refuse := func(detail string) error {
		return &firedrill.Error{Op: d.op, Kind: firedrill.KindGuard, Target: "database " + d.Name, Detail: detail, Remedy: "look at the API's address; is something else answering there?"}
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil {
		return nil, refuse("the address for the transfer cannot be understood")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname()) || !d.d.c.local) {
		return nil, refuse("the address for the transfer is neither https nor on this machine")
	}
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, refuse("the address for the transfer cannot be understood")
	}
	req.Header.Set("User-Agent", "firedrill")
	return req, nil
}

// download reads an export. It is known to be whole when the reading ends with
// io.EOF.
func (d *D1) download(ctx context.Context, address string) (_ io.ReadCloser, err error) {
	patience, wctx := newWatchdog(ctx, d.d.c.cfg.Patience)
	defer func() {
		if err != nil {
			patience.end()
		}
	}()
	hreq, err := d.signed(wctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	hreq.Header.Set("Accept-Encoding", "identity")
	req := Request{Op: d.op, Target: "the export of database " + d.Name, Method: http.MethodGet}
	resp, err := d.d.c.http.Do(hreq)
	if err != nil {
		return nil, noAnswer(ctx, req, true, patience.why(withoutAddress(err)))
	}
	wrong := func(kind firedrill.Kind, detail string) error {
		return errors.Join(&firedrill.Error{Op: d.op, Kind: kind, Target: req.Target, Detail: detail, Remedy: remedy(kind)}, resp.Body.Close())
	}
	switch {
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return nil, wrong(firedrill.KindUnavailable, fmt.Sprintf("the download answers with status %d", resp.StatusCode))
	case resp.StatusCode != http.StatusOK:
		return nil, wrong(firedrill.KindDenied, fmt.Sprintf("the download answers with status %d", resp.StatusCode))
	case resp.ContentLength < 0 && resp.ProtoMajor < 2 && len(resp.TransferEncoding) == 0:
		return nil, wrong(firedrill.KindUnavailable, "the download does not say where it ends")
	}
	return &downloading{ReadCloser: moving{resp.Body, patience.moved}, ctx: ctx, req: req, patience: patience}, nil
}

// downloading says in our words why a download ended.
type downloading struct {
	io.ReadCloser
	ctx      context.Context
	req      Request
	patience *watchdog
}

func (r *downloading) Close() error {
	r.patience.end()
	return r.ReadCloser.Close()
}

func (r *downloading) Read(to []byte) (int, error) {
	n, err := r.ReadCloser.Read(to)
	if err != nil && !errors.Is(err, io.EOF) {
		err = noAnswer(r.ctx, r.req, true, fmt.Errorf("the download broke off: %w", r.patience.why(withoutAddress(err))))
	}
	return n, err
}

// Import implements backup.SQLSink. An error of the kind outcome-unknown alone
// means that the import may have happened.
func (d *D1) Import(ctx context.Context, body backup.Body) error {
	etag, err := md5Of(body)
	if err != nil {
		return err
	}
	t, req, err := d.transfer(ctx, "import", false, true, map[string]any{"action": "init", "etag": etag})
	if err != nil {
		return notYet(err)
	}
	if err := t.failed(req); err != nil {
		return notYet(err)
	}
	if t.Upload != "" {
		if t.Filename == "" {
			return notYet(unreadable(req, "the answer has an address and no file name"))
		}
		if err := d.upload(ctx, t.Upload, etag, body); err != nil {
			return err
		}
		t, req, err = d.transfer(ctx, "import", false, false, map[string]any{"action": "ingest", "filename": t.Filename, "etag": etag})
		if firedrill.KindOf(err) == firedrill.KindUnknown && ctx.Err() == nil {
			t, err = transfer{Status: "active"}, nil // it may be at it: wait for its end
		}
		if err != nil {
			return err
		}
	}
	t, err = d.follow(ctx, t, req, func(bookmark string) (transfer, Request, error) {
		t, req, err := d.transfer(ctx, "import", false, true, map[string]any{"action": "poll", "current_bookmark": bookmark})
		if err == nil && t.idle() {
			err = &firedrill.Error{Op: d.op, Kind: firedrill.KindUnknown, Target: req.Target, Detail: "the import is over, and what became of it is not told", Remedy: remedy(firedrill.KindUnknown)}
		}
		return t, req, err
	})
	switch {
	case firedrill.KindOf(err) == firedrill.KindTimeout || firedrill.KindOf(err) == firedrill.KindInterrupted:
		var own *firedrill.Error
		if errors.As(err, &own) {
			return &firedrill.Error{Op: own.Op, Kind: firedrill.KindUnknown, Target: own.Target, Detail: "the import was begun, and its end was not waited for", Remedy: remedy(firedrill.KindUnknown), Err: err}
		}
	case err != nil:
		return err
	case t.Result == nil || t.Result.Queries == nil || *t.Result.Queries < 1:
		return unreadable(req, "the import is complete and tells of no statement")
	}
	return err
}

// notYet takes the doubt out of an error: until the file is ingested nothing has
// happened to the database.
func notYet(err error) error {
	var own *firedrill.Error
	if firedrill.KindOf(err) != firedrill.KindUnknown || !errors.As(err, &own) {
		return err
	}
	certain := *own
	certain.Kind, certain.Remedy = firedrill.KindUnavailable, remedy(firedrill.KindUnavailable)
	return &certain
}

func md5Of(body backup.Body) (_ string, err error) {
	r, err := body.Open()
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	sum := md5.New() //nolint:gosec // see the import
	n, err := io.Copy(sum, r)
	if err == nil && n != body.Size {
		err = &firedrill.Error{Op: "restore", Kind: firedrill.KindInternal, Detail: fmt.Sprintf("a file of %d bytes was announced with %d", n, body.Size)}
	}
	return hex.EncodeToString(sum.Sum(nil)), err
}

// upload sends the file; it may be repeated.
func (d *D1) upload(ctx context.Context, address, etag string, body backup.Body) error {
	pause := firstPause
	for attempt := 1; ; attempt++ {
		err := d.uploadOnce(ctx, address, etag, body)
		if err == nil || attempt == attempts || !firedrill.KindOf(err).Retryable() || ctx.Err() != nil {
			return err
		}
		if serr := d.d.c.Sleep(ctx, pause); serr != nil {
			return err
		}
		pause *= 2
	}
}

func (d *D1) uploadOnce(ctx context.Context, address, etag string, body backup.Body) error {
	in, err := body.Open()
	if err != nil {
		return err
	}
	patience, wctx := newWatchdog(ctx, d.d.c.cfg.Patience)
	defer patience.end()
	from := &content{ReadCloser: in, moved: patience.moved, gone: func() bool { return hold.Gone(ctx) }}
	hreq, err := d.signed(wctx, http.MethodPut, address, from)
	if err != nil {
		return errors.Join(err, in.Close())
	}
	hreq.ContentLength = body.Size
	// Nothing of the database is changed by it: that happens when it is ingested.
	req := Request{Op: d.op, Target: "the upload for database " + d.Name, Method: http.MethodPut, Reads: true}
	resp, err := d.d.c.http.Do(hreq)
	if broken := from.broken.Load(); broken != nil {
		if err == nil {
			_ = resp.Body.Close() // an answer to half a file says nothing
		}
		return broken
	}
	if err != nil {
		return noAnswer(ctx, req, true, patience.why(withoutAddress(err)))
	}
	_, cerr := io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	cerr = errors.Join(cerr, resp.Body.Close())
	kind := firedrill.KindUnavailable
	switch got := strings.Trim(resp.Header.Get("ETag"), `"`); {
	case resp.StatusCode != http.StatusOK:
		if resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests {
			kind = firedrill.KindDenied
		}
		return &firedrill.Error{Op: d.op, Kind: kind, Target: req.Target, Detail: fmt.Sprintf("answers with status %d", resp.StatusCode), Remedy: remedy(kind)}
	case !strings.EqualFold(got, etag):
		return &firedrill.Error{Op: d.op, Kind: kind, Target: req.Target, Detail: "what arrived is not what was sent: its MD5 is another one", Remedy: remedy(kind)}
	case cerr != nil:
		return noAnswer(ctx, req, true, withoutAddress(cerr))
	}
	return nil
}
