package cloudflare

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"firedrill"
)

// CreateD1 makes an empty database. A name that is taken is refused.
func (c *Client) CreateD1(ctx context.Context, op, name string, tell func(string)) (*D1, error) {
	body, err := json.Marshal(map[string]string{"name": name})
	if err != nil {
		return nil, err
	}
	req := Request{Op: op, Target: "database " + name, Method: http.MethodPost, Path: c.AccountPath("d1", "database"), Body: body, Ids: []ID{{"d1", name}}, Notify: tell}
	resp, err := c.Do(ctx, req)
	if err != nil {
		return nil, err
	}
	var db Database
	if err := resp.Decode(req, &db); err != nil {
		return nil, err
	}
	if db.Name != name || !uuid.MatchString(db.ID) {
		return nil, unreadable(req, fmt.Sprintf("asked for a database %s, answered with %q", name, db.Name))
	}
	c.remember(db)
	c.made(ID{"d1", db.ID}, name)
	return (&d1{c, db, tell}).exported(op), nil
}

// CreateD1Scratch makes an empty database to be thrown away. Its name begins with
// [ScratchPrefix].
func (c *Client) CreateD1Scratch(ctx context.Context, op, name string, tell func(string)) (*D1, error) {
	if err := checkScratchName(op, name); err != nil {
		return nil, err
	}
	if _, err := c.databaseByName(ctx, op, name, tell); firedrill.KindOf(err) != firedrill.KindNotFound {
		return nil, orTaken(err, op, "database "+name)
	}
	d, err := c.CreateD1(ctx, op, name, tell)
	if firedrill.KindOf(err) == firedrill.KindUnknown {
		// Nothing had this name, so what has it now was made by the request whose
		// answer was lost.
		if found, ferr := c.databaseByName(ctx, op, name, tell); ferr == nil {
			c.made(ID{"d1", found.db.ID}, name)
			return found.exported(op), nil
		}
	}
	return d, err
}

// orTaken says that a name is taken, unless it could not be looked up.
func orTaken(err error, op, target string) error {
	if err != nil {
		return err
	}
	return &firedrill.Error{Op: op, Kind: firedrill.KindConflict, Target: target, Detail: "is there already", Remedy: "choose another name"}
}

// DeleteD1Scratch deletes a database that was made to be thrown away, and looks
// that it is gone. One that is not there counts as deleted.
func (c *Client) DeleteD1Scratch(ctx context.Context, op, name string, tell func(string)) error {
	if err := checkScratchName(op, name); err != nil {
		return err
	}
	d, err := c.databaseByName(ctx, op, name, tell)
	if firedrill.KindOf(err) == firedrill.KindNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	req := d.request(op, http.MethodDelete)
	req.Safe = true
	if _, err := c.Do(ctx, req); err != nil && firedrill.KindOf(err) != firedrill.KindNotFound {
		return err
	}
	c.forget(d.db.ID)
	if _, err = c.databaseByName(ctx, op, name, tell); err == nil {
		err = stillListed(op, "database "+name)
	}
	if firedrill.KindOf(err) == firedrill.KindNotFound {
		return nil
	}
	return err
}

// CreateKVScratch makes a namespace to be thrown away. Its title begins with
// [ScratchPrefix].
func (c *Client) CreateKVScratch(ctx context.Context, op, title string, tell func(string)) (*KV, error) {
	if err := checkScratchTitle(op, title); err != nil {
		return nil, err
	}
	if _, err := c.KV(ctx, op, title, tell); firedrill.KindOf(err) != firedrill.KindNotFound {
		return nil, orTaken(err, op, "KV namespace "+title)
	}
	k, err := c.createKV(ctx, op, title, tell)
	if firedrill.KindOf(err) == firedrill.KindUnknown {
		if found, ferr := c.KV(ctx, op, title, tell); ferr == nil { // as for databases
			k, err = found, nil
		}
	}
	if err == nil {
		c.made(ID{"kv", k.ID}, title)
	}
	return k, err
}

// DeleteKVScratch deletes a namespace that was made to be thrown away, and looks
// that it is gone. One that is not there counts as deleted.
func (c *Client) DeleteKVScratch(ctx context.Context, op, title string, tell func(string)) error {
	if err := checkScratchTitle(op, title); err != nil {
		return err
	}
	k, err := c.KV(ctx, op, title, tell)
	if firedrill.KindOf(err) == firedrill.KindNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	req := k.request(op, http.MethodDelete)
	req.Safe = true
	if _, err := c.Do(ctx, req); err != nil && firedrill.KindOf(err) != firedrill.KindNotFound {
		return err
	}
	if _, err = c.KV(ctx, op, title, tell); err == nil {
		err = stillListed(op, "KV namespace "+title)
	}
	if firedrill.KindOf(err) == firedrill.KindNotFound {
		return nil
	}
	return err
}

// ScratchPrefix begins the names of resources that are made to be thrown away.
const ScratchPrefix = scratchPrefix

func checkScratchTitle(op, title string) error {
	if strings.HasPrefix(title, scratchPrefix) && len(title) > len(scratchPrefix) {
		return nil
	}
	return &firedrill.Error{Op: op, Kind: firedrill.KindGuard, Target: "KV namespace " + title,
		Detail: "is not a scratch namespace", Remedy: "only namespaces whose titles begin with " + scratchPrefix + " are made and deleted"}
}

func stillListed(op, target string) error {
	return &firedrill.Error{Op: op, Kind: firedrill.KindUnknown, Target: target, Detail: "was deleted and is still listed", Remedy: "delete it by hand"}
}

// made remembers a resource that this client has made to be thrown away.
func (c *Client) made(id ID, name string) {
	if !strings.HasPrefix(name, scratchPrefix) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.scratches[id] = name
}

// mayScratch tells whether a request does nothing but make a scratch resource, or
// change or delete one that this very client has made: what a restore test does,
// which is safe in production too. It knows each such request by its method and
// path; what it does not know it does not let pass. Nor does it if the body could
// speak of something else.
func (c *Client) mayScratch(req Request) bool {
	if len(req.Query) > 0 {
		return false
	}
	kinds := []struct {
		kind, name string
		path       []string
		writes     []string // method and path below the resource
	}{
		{"d1", "name", []string{"d1", "database"}, []string{"DELETE ", "POST /raw", "POST /import"}},
		{"kv", "title", []string{"storage", "kv", "namespaces"}, []string{"DELETE ", "PUT /bulk", "POST /bulk/delete"}},
	}
	for _, k := range kinds {
		below, is := strings.CutPrefix(req.Path, c.AccountPath(k.path...))
		if !is {
			continue
		}
		if below == "" {
			return req.Method == http.MethodPost && c.namesScratch(req, k.kind, k.name)
		}
		if len(below) < 2 || below[0] != '/' {
			return false
		}
		id, rest, _ := strings.Cut(below[1:], "/")
		if rest != "" {
			rest = "/" + rest
		}
		return c.isScratch(req, k.kind, id) && slices.Contains(k.writes, req.Method+" "+rest) && onlyMembers(req, rest)
	}
	return false
}

// namesScratch tells whether a request makes a scratch resource and says nothing
// else.
func (c *Client) namesScratch(req Request, kind, member string) bool {
	var body map[string]string
	if req.Stream != nil || decodeStrictly(req.Body, &body) != nil || len(body) != 1 {
		return false
	}
	name := body[member]
	return strings.HasPrefix(name, scratchPrefix) && len(name) > len(scratchPrefix) && len(req.Ids) == 1 && req.Ids[0] == ID{kind, name}
}

// isScratch tells whether all that a request refers to is one resource that this
// client has made.
func (c *Client) isScratch(req Request, kind, id string) bool {
	c.mu.Lock()
	name, made := c.scratches[ID{kind, id}]
	c.mu.Unlock()
	if !made || len(req.Ids) == 0 {
		return false
	}
	for _, x := range req.Ids {
		if x != (ID{kind, id}) && x != (ID{kind, name}) {
			return false
		}
	}
	return true
}

// onlyMembers tells whether a body has no members but those that its call knows.
// The bodies of bulk writes are keys and values, and cannot name another resource.
func onlyMembers(req Request, path string) bool {
	known := map[string][]string{"/raw": {"batch"}, "/import": {"action", "etag", "filename", "current_bookmark"}}[path]
	if known == nil {
		return true
	}
	var body map[string]json.RawMessage
	if req.Stream != nil || decodeStrictly(req.Body, &body) != nil {
		return false
	}
	for member := range body {
		if !slices.Contains(known, member) {
			return false
		}
	}
	return true
}

// decodeStrictly reads one JSON value and nothing behind it.
func decodeStrictly(body []byte, out any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(out); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("something follows")
	}
	return nil
}
