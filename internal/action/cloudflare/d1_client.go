package cloudflare

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"

	"firedrill"
)

// Database is a database as the platform describes it.
type Database struct {
	ID      string `json:"uuid"`
	Name    string `json:"name"`
	Version string `json:"version"`
	Size    int64  `json:"file_size"`
	Created string `json:"created_at"`
}

var uuid = regexp.MustCompile(`(?i)^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// d1 is a database that a call works on.
type d1 struct {
	c    *Client
	db   Database
	tell func(string)
}

// request gives a request about the database with both things it is known by,
// so that a guard that knows only its name recognises it too.
func (d *d1) request(op, method string, segments ...string) Request {
	return Request{Op: op, Target: "database " + d.db.Name, Method: method, Notify: d.tell,
		Path: d.c.AccountPath(append([]string{"d1", "database", d.db.ID}, segments...)...),
		Ids:  []ID{{"d1", d.db.ID}, {"d1", d.db.Name}}}
}

// database finds a database by its id or its name.
func (c *Client) database(ctx context.Context, op, ref string, tell func(string)) (*d1, error) {
	if ref == "" {
		return nil, &firedrill.Error{Op: op, Kind: firedrill.KindUsage, Detail: "no database is given", Remedy: "give its id or its name"}
	}
	if !uuid.MatchString(ref) {
		return c.databaseByName(ctx, op, ref, tell)
	}
	c.mu.Lock()
	db, known := c.databases[ref]
	c.mu.Unlock()
	if known {
		return &d1{c, db, tell}, nil
	}
	req := Request{Op: op, Target: "database " + ref, Method: http.MethodGet, Path: c.AccountPath("d1", "database", ref), Ids: []ID{{"d1", ref}}, Notify: tell}
	resp, err := c.Do(ctx, req)
	if err != nil {
		return nil, err
	}
	if err := resp.Decode(req, &db); err != nil {
		return nil, err
	}
	if db.ID != ref || db.Name == "" {
		return nil, unreadable(req, fmt.Sprintf("asked for database %s, answered with %q", ref, db.ID))
	}
	c.remember(db)
	return &d1{c, db, tell}, nil
}

// remember keeps what a database is called: an id and its name do not part.
func (c *Client) remember(db Database) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.databases[db.ID] = db
}

func (c *Client) forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.databases, id)
}

// databaseByName finds exactly one database by its name; an unknown name is
// answered with the nearest one that exists.
func (c *Client) databaseByName(ctx context.Context, op, name string, tell func(string)) (*d1, error) {
	all, err := c.listDatabases(ctx, op, tell)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, db := range all {
		if db.Name == name {
			c.remember(db)
			return &d1{c, db, tell}, nil
		}
		names = append(names, db.Name)
	}
	remedy := "the account has no database; check the account id"
	if n := firedrill.Nearest(name, names); n != "" {
		remedy = fmt.Sprintf("did you mean %q? The account has %d databases", n, len(names))
	}
	return nil, &firedrill.Error{Op: op, Kind: firedrill.KindNotFound, Target: "database " + name, Detail: "does not exist in the account", Remedy: remedy}
}

// listDatabases gives all databases of the account. A list that does not end
// is an error.
func (c *Client) listDatabases(ctx context.Context, op string, tell func(string)) ([]Database, error) {
	var all []Database
	seen := map[string]bool{}
	const perPage, mostPages = 100, 1000
	for page := 1; page <= mostPages; page++ {
		req := Request{Op: op, Target: "list of databases", Method: http.MethodGet, Path: c.AccountPath("d1", "database"), Notify: tell,
			Query: url.Values{"page": {strconv.Itoa(page)}, "per_page": {strconv.Itoa(perPage)}}}
		resp, err := c.Do(ctx, req)
		if err != nil {
			return nil, err
		}
		var some []Database
		if err := resp.Decode(req, &some); err != nil {
			return nil, err
		}
		fresh := 0
		for _, db := range some {
			if db.ID == "" || db.Name == "" {
				return nil, unreadable(req, "a database in the list has no id or no name")
			}
			if !seen[db.ID] {
				seen[db.ID], fresh = true, fresh+1
				all = append(all, db)
			}
		}
		if fresh == 0 || (resp.Info.TotalCount > 0 && int64(len(all)) >= resp.Info.TotalCount) {
			return all, nil
		}
	}
	return nil, &firedrill.Error{Op: op, Kind: firedrill.KindCorrupt, Target: "list of databases", Detail: "does not end"}
}

// bookmark gives the database's present point in time.
func (d *d1) bookmark(ctx context.Context, op string) (string, error) {
	req := d.request(op, http.MethodGet, "time_travel", "bookmark")
	resp, err := d.c.Do(ctx, req)
	if err != nil {
		return "", err
	}
	var out struct {
		Bookmark string `json:"bookmark"`
	}
	if err := resp.Decode(req, &out); err != nil {
		return "", err
	}
	if out.Bookmark == "" {
		return "", unreadable(req, "the answer has no bookmark")
	}
	return out.Bookmark, nil
}

// statement is one SQL statement. Values stand in it as literals: numbers
// in JSON would lose their exactness on the way.
type statement string

// set is what a statement gave: columns and rows as the platform sent them,
// and how many rows it changed.
type set struct {
	Columns []string
	Rows    [][]any
	Changes int64
}

// run performs statements as one atomic batch: all of them, or none. reads
// says that none of them changes anything.
func (d *d1) run(ctx context.Context, op string, reads bool, statements ...statement) ([]set, error) {
	return d.send(ctx, op, reads, false, statements...)
}

// repeat performs statements that may be performed twice without harm.
func (d *d1) repeat(ctx context.Context, op string, statements ...statement) ([]set, error) {
	return d.send(ctx, op, false, true, statements...)
}

func (d *d1) send(ctx context.Context, op string, reads, safe bool, statements ...statement) ([]set, error) {
	var items []item
	for _, s := range statements {
		items = append(items, item{SQL: string(s)})
	}
	return d.sendItems(ctx, op, reads, safe, items)
}

// item is a statement on the wire. Its parameters are texts: numbers in JSON
// would lose their exactness.
type item struct {
	SQL    string   `json:"sql"`
	Params []string `json:"params,omitempty"`
}

func (d *d1) sendItems(ctx context.Context, op string, reads, safe bool, statements []item) ([]set, error) {
	for _, s := range statements {
		if err := d.fits(op, s.SQL); err != nil {
			return nil, err
		}
	}
	body, err := json.Marshal(map[string]any{"batch": statements})
	if err != nil {
		return nil, err
	}
	req := d.request(op, http.MethodPost, "raw")
	req.Body, req.Reads, req.Safe = body, reads, safe
	resp, err := d.c.Do(ctx, req)
	if err != nil {
		return nil, err
	}
	return readSets(req, resp, len(statements))
}

// texts performs a statement that only reads, and whose every value is a text.
func (d *d1) texts(ctx context.Context, op, sql string) (texts, error) {
	if err := d.fits(op, sql); err != nil {
		return texts{}, err
	}
	body, err := json.Marshal(map[string]any{"batch": []item{{SQL: sql}}})
	if err != nil {
		return texts{}, err
	}
	req := d.request(op, http.MethodPost, "raw")
	req.Body, req.Reads = body, true
	var out texts
	taken := false
	req.Accept = func(body []byte) bool {
		out, taken = scanTexts(body)
		return taken
	}
	resp, err := d.c.Do(ctx, req)
	if err != nil || taken {
		return out, err
	}
	sets, err := readSets(req, resp, 1)
	if err != nil {
		return texts{}, err
	}
	out = texts{width: len(sets[0].Columns)}
	for _, row := range sets[0].Rows {
		for i, v := range row {
			s, is := v.(string)
			if !is {
				return texts{}, unreadable(req, fmt.Sprintf("value %d of a row is a %T, not a text", i+1, v))
			}
			out.cells = append(out.cells, []byte(s))
		}
	}
	return out, nil
}

// readSets reads what a batch of statements gave.
func readSets(req Request, resp Response, statements int) ([]set, error) {
	var answers []struct {
		Success *bool `json:"success"`
		Results *struct {
			Columns []string `json:"columns"`
			Rows    [][]any  `json:"rows"`
		} `json:"results"`
		Meta struct {
			Changes int64 `json:"changes"`
		} `json:"meta"`
	}
	if err := resp.Decode(req, &answers); err != nil {
		return nil, err
	}
	if len(answers) != statements {
		return nil, unreadable(req, fmt.Sprintf("%d statements were sent, %d answered", statements, len(answers)))
	}
	sets := make([]set, len(answers))
	for i, a := range answers {
		if a.Success == nil || !*a.Success || a.Results == nil {
			return nil, unreadable(req, fmt.Sprintf("statement %d of %d has no successful result", i+1, len(answers)))
		}
		for _, row := range a.Results.Rows {
			if len(row) != len(a.Results.Columns) {
				return nil, unreadable(req, fmt.Sprintf("statement %d has a row of %d values for %d columns", i+1, len(row), len(a.Results.Columns)))
			}
		}
		sets[i] = set{a.Results.Columns, a.Results.Rows, a.Meta.Changes}
	}
	return sets, nil
}

// fits refuses a statement that the platform would refuse.
func (d *d1) fits(op, sql string) error {
	if len(sql) <= maxStatement {
		return nil
	}
	return &firedrill.Error{Op: op, Kind: firedrill.KindUnsupported, Target: "database " + d.db.Name,
		Detail: fmt.Sprintf("needs a statement of %d bytes; the platform takes %d", len(sql), maxStatement), Remedy: "a key or value of this database is too large to be named in a statement"}
}

// maxStatement is the platform's limit for one statement, in bytes.
const maxStatement = 100_000
