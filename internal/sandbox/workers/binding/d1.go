package binding

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"

	"firedrill/internal/sandbox/d1"
)

// KindD1 is the value of HeaderKind for a database.
const KindD1 = "d1"

// headerBookmark carries the session's bookmark in both directions.
const headerBookmark = "X-Cf-D1-Session-Commit-Token"

// maxD1Body bounds a call: a hundred statements of the platform's greatest
// length with parameters of the greatest size, as JSON arrays of bytes.
const maxD1Body = 256 << 20

// Databases is what the binding needs of the database service; *d1.Store is
// one. Query runs a batch as one transaction.
type Databases interface {
	Query(ctx context.Context, databaseID string, batch []d1.Statement) (results []d1.Result, bookmark string, err error)
	Get(ctx context.Context, idOrName string) (d1.Database, error)
}

// D1 speaks the protocol between workerd's module cloudflare-internal:d1-api
// and a database.
//
// Integers go out exact; JavaScript rounds those beyond 2^53 to the nearest
// double when it parses them, which is what the platform does too.
type D1 struct{ DB Databases }

type d1Request struct {
	SQL    string            `json:"sql"`
	Params []json.RawMessage `json:"params"`
}

// ServeBinding implements Backend.
func (d D1) ServeBinding(w http.ResponseWriter, r *http.Request, id string) {
	rows := true
	switch r.URL.Path {
	case "/query":
	case "/execute":
		rows = r.URL.Query().Get("resultsFormat") != "NONE"
	default:
		d1Fail(w, http.StatusBadRequest, fmt.Sprintf("%s is not supported by the sandbox", strings.TrimPrefix(r.URL.Path, "/")))
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxD1Body))
	if err != nil {
		d1Fail(w, http.StatusRequestEntityTooLarge, "the request is too large or broke off")
		return
	}
	batch, single, err := parseD1(body)
	if err != nil {
		d1Fail(w, http.StatusBadRequest, err.Error())
		return
	}
	exec := r.URL.Path == "/execute" && !single // db.exec: a line may hold several statements
	counts, err := countStatements(batch, exec)
	if err != nil {
		d1Fail(w, http.StatusBadRequest, err.Error())
		return
	}
	all, bookmark, err := d.DB.Query(r.Context(), id, batch)
	if err != nil {
		d1Fail(w, http.StatusBadRequest, err.Error())
		return
	}
	results, err := onePerText(all, counts)
	if err != nil {
		d1Fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	var out bytes.Buffer
	if !single {
		out.WriteByte('[')
	}
	for i, res := range results {
		if i > 0 {
			out.WriteByte(',')
		}
		if err := writeD1Result(&out, res, rows); err != nil {
			d1Fail(w, http.StatusInternalServerError, err.Error())
			return
		}
	}
	if !single {
		out.WriteByte(']')
	}
	w.Header().Set("Content-Type", "application/json")
	if bookmark != "" {
		w.Header().Set(headerBookmark, bookmark)
	}
	_, _ = w.Write(out.Bytes()) // the Worker may have ended
}

// parseD1 reads one statement or an array of them.
func parseD1(body []byte) (batch []d1.Statement, single bool, err error) {
	var reqs []d1Request
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '[' {
		err = json.Unmarshal(body, &reqs)
	} else {
		single = true
		reqs = make([]d1Request, 1)
		err = json.Unmarshal(body, &reqs[0])
	}
	if err != nil {
		return nil, false, fmt.Errorf("malformed request: %w", err)
	}
	if len(reqs) == 0 {
		return nil, false, errors.New("no SQL statements detected")
	}
	for _, q := range reqs {
		st := d1.Statement{SQL: q.SQL}
		for i, raw := range q.Params {
			p, err := parseParam(raw)
			if err != nil {
				return nil, false, fmt.Errorf("parameter %d: %w", i+1, err)
			}
			st.Params = append(st.Params, p)
		}
		batch = append(batch, st)
	}
	return batch, single, nil
}

// countStatements tells how many statements each text holds. A prepared
// statement is one.
func countStatements(batch []d1.Statement, several bool) ([]int, error) {
	counts := make([]int, len(batch))
	for i, st := range batch {
		counts[i] = d1.Count(st.SQL)
		if counts[i] > 1 && !several {
			return nil, fmt.Errorf("a prepared statement holds one SQL statement, not %d: use batch or exec", counts[i])
		}
	}
	return counts, nil
}

// onePerText joins the results of the statements that one text held: the last
// one's rows, and what all of them changed and took.
func onePerText(all []d1.Result, counts []int) ([]d1.Result, error) {
	var out []d1.Result
	for _, n := range counts {
		if n == 0 || n > len(all) {
			return nil, fmt.Errorf("%d statements gave %d results", n, len(all))
		}
		joined := all[n-1]
		for _, r := range all[:n-1] {
			joined.Meta.Duration += r.Meta.Duration
			joined.Meta.Changes += r.Meta.Changes
			joined.Meta.RowsRead += r.Meta.RowsRead
			joined.Meta.RowsWritten += r.Meta.RowsWritten
			joined.Meta.ChangedDB = joined.Meta.ChangedDB || r.Meta.ChangedDB
		}
		out, all = append(out, joined), all[n:]
	}
	if len(all) > 0 {
		return nil, fmt.Errorf("%d results are left over", len(all))
	}
	return out, nil
}

// parseParam turns a JSON value into what SQLite binds. A number without
// fraction or exponent that fits 64 bits is an integer.
func parseParam(raw json.RawMessage) (any, error) {
	switch raw[0] {
	case 'n':
		return nil, nil
	case 't':
		return int64(1), nil
	case 'f':
		return int64(0), nil
	case '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	case '[':
		var numbers []octet
		if err := json.Unmarshal(raw, &numbers); err != nil {
			return nil, fmt.Errorf("a BLOB is an array of numbers from 0 to 255: %w", err)
		}
		b := make([]byte, len(numbers))
		for i, n := range numbers {
			b[i] = byte(n)
		}
		return b, nil
	case '{':
		return nil, errors.New("an object cannot be bound")
	}
	if !bytes.ContainsAny(raw, ".eE") {
		if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
			return n, nil
		}
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil {
		return nil, fmt.Errorf("number out of range: %w", err)
	}
	return f, nil
}

// octet is a byte written as a JSON number (encoding/json would take a
// []byte as base64).
type octet byte

func (u *octet) UnmarshalJSON(raw []byte) error {
	n, err := strconv.ParseUint(string(raw), 10, 8)
	*u = octet(n)
	return err
}

// writeD1Result writes one result object, its columns in order.
func writeD1Result(out *bytes.Buffer, res d1.Result, rows bool) error {
	out.WriteString(`{"success":true,"results":`)
	if !rows {
		out.WriteString("[]")
	} else {
		columns := res.Columns
		if columns == nil {
			columns = []string{}
		}
		out.WriteString(`{"columns":`)
		if err := appendJSON(out, columns); err != nil {
			return err
		}
		out.WriteString(`,"rows":[`)
		for i, row := range res.Rows {
			if i > 0 {
				out.WriteByte(',')
			}
			out.WriteByte('[')
			for j, cell := range row {
				if j > 0 {
					out.WriteByte(',')
				}
				if err := appendCell(out, cell); err != nil {
					return err
				}
			}
			out.WriteByte(']')
		}
		out.WriteString("]}")
	}
	return writeD1Meta(out, res.Meta)
}

func appendJSON(out *bytes.Buffer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encode a result: %w", err)
	}
	out.Truncate(out.Len() - 1) // the line end that Encode adds
	return nil
}

// appendCell writes one value as D1 shows it: a BLOB is an array of bytes, a
// number that JSON cannot hold is null.
func appendCell(out *bytes.Buffer, v any) error {
	switch v := v.(type) {
	case []byte:
		out.WriteByte('[')
		for i, b := range v {
			if i > 0 {
				out.WriteByte(',')
			}
			out.WriteString(strconv.Itoa(int(b)))
		}
		out.WriteByte(']')
		return nil
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			out.WriteString("null")
			return nil
		}
	}
	return appendJSON(out, v)
}

func writeD1Meta(out *bytes.Buffer, m d1.Meta) error {
	type timings struct {
		SQL float64 `json:"sql_duration_ms"`
	}
	out.WriteString(`,"meta":`)
	ms := float64(m.Duration.Microseconds()) / 1000
	err := appendJSON(out, struct {
		ServedBy        string  `json:"served_by"`
		ServedByPrimary bool    `json:"served_by_primary"`
		Timings         timings `json:"timings"`
		Duration        float64 `json:"duration"`
		Changes         int64   `json:"changes"`
		LastRowID       int64   `json:"last_row_id"`
		ChangedDB       bool    `json:"changed_db"`
		SizeAfter       int64   `json:"size_after"`
		RowsRead        int64   `json:"rows_read"`
		RowsWritten     int64   `json:"rows_written"`
		Attempts        int     `json:"total_attempts"`
	}{"firedrill-sandbox", true, timings{ms}, ms, m.Changes, m.LastRowID, m.ChangedDB,
		m.SizeAfter, m.RowsRead, m.RowsWritten, 1})
	out.WriteByte('}')
	return err
}

// d1Fail answers with the one form that the client turns into a D1_ERROR.
func d1Fail(w http.ResponseWriter, status int, text string) {
	body, err := json.Marshal(map[string]any{"success": false, "error": text})
	if err != nil {
		body = []byte(`{"success":false,"error":"unprintable error"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the Worker may have ended
}
