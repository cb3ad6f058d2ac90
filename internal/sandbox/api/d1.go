package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"firedrill/internal/sandbox/d1"
)

// databaseID is the segment behind d1/database.
func (q request) databaseID() string { return q.path[4] }

type databaseView struct {
	UUID            string         `json:"uuid"`
	Name            string         `json:"name"`
	CreatedAt       string         `json:"created_at"`
	Version         string         `json:"version"`
	NumTables       int            `json:"num_tables"`
	FileSize        int64          `json:"file_size"`
	RunningInRegion string         `json:"running_in_region"`
	Jurisdiction    *string        `json:"jurisdiction"`
	ReadReplication map[string]any `json:"read_replication"`
}

func viewDatabase(d d1.Database) databaseView {
	v := databaseView{UUID: d.ID, Name: d.Name, CreatedAt: d.Created.UTC().Format("2006-01-02T15:04:05.000Z"), Version: "production",
		NumTables: d.Tables, FileSize: d.Size, RunningInRegion: "SANDBOX", ReadReplication: map[string]any{"mode": d.ReplicationMode}}
	if d.Jurisdiction != "" {
		v.Jurisdiction = &d.Jurisdiction
	}
	return v
}

func (s *Server) createDatabase(q request) (answer, error) {
	var in struct {
		Name            string `json:"name"`
		LocationHint    string `json:"primary_location_hint"`
		Jurisdiction    string `json:"jurisdiction"`
		ReadReplication struct {
			Mode string `json:"mode"`
		} `json:"read_replication"`
	}
	if err := q.decode(&in); err != nil {
		return answer{}, err
	}
	d, err := s.cfg.D1.Create(q.r.Context(), d1.Database{Name: in.Name, LocationHint: in.LocationHint, Jurisdiction: in.Jurisdiction, ReplicationMode: in.ReadReplication.Mode})
	return answer{result: viewDatabase(d)}, err
}

func (s *Server) listDatabases(q request) (answer, error) {
	all, err := s.cfg.D1.List(q.r.Context())
	if err != nil {
		return answer{}, err
	}
	views := []databaseView{}
	name := q.r.URL.Query().Get("name")
	for _, d := range all {
		if name == "" || strings.Contains(d.Name, name) {
			views = append(views, viewDatabase(d))
		}
	}
	return paged(q, views, 1000)
}

func (s *Server) getDatabase(q request) (answer, error) {
	d, err := s.cfg.D1.Get(q.r.Context(), q.databaseID())
	return answer{result: viewDatabase(d)}, err
}

func (s *Server) updateDatabase(q request) (answer, error) {
	var in struct {
		ReadReplication struct {
			Mode string `json:"mode"`
		} `json:"read_replication"`
	}
	if err := q.decode(&in); err != nil {
		return answer{}, err
	}
	d, err := s.cfg.D1.Update(q.r.Context(), q.databaseID(), in.ReadReplication.Mode)
	return answer{result: viewDatabase(d)}, err
}

func (s *Server) deleteDatabase(q request) (answer, error) {
	return answer{result: nil}, s.cfg.D1.Delete(q.r.Context(), q.databaseID())
}

// statementIn is one statement as clients send it.
type statementIn struct {
	SQL    string `json:"sql"`
	Params []any  `json:"params"`
}

func (s *Server) query(q request) (answer, error) {
	var in struct {
		statementIn
		Batch []statementIn `json:"batch"`
	}
	if err := q.decode(&in); err != nil {
		return answer{}, err
	}
	batch := in.Batch
	switch {
	case len(batch) > 0 && in.SQL != "":
		return answer{}, badBody("give either sql or batch")
	case len(batch) == 0:
		batch = []statementIn{in.statementIn}
	}
	statements := make([]d1.Statement, len(batch))
	for i, b := range batch {
		if b.SQL == "" {
			return answer{}, badBody("the property sql is missing")
		}
		params, err := parameters(b.Params)
		if err != nil {
			return answer{}, err
		}
		statements[i] = d1.Statement{SQL: b.SQL, Params: params}
	}
	results, _, err := s.cfg.D1.Query(q.r.Context(), q.databaseID(), statements)
	if err != nil {
		return answer{}, err
	}
	raw := q.path[5] == "raw"
	// The envelope is written around the rows here: encoding it like any other would
	// read all of them once more.
	var out bytes.Buffer
	out.WriteString(`{"success":true,"errors":[],"messages":[],"result":[`)
	for i, r := range results {
		if i > 0 {
			out.WriteByte(',')
		}
		if err := writeResult(&out, r, raw); err != nil {
			return answer{}, err
		}
	}
	out.WriteString("]}")
	return answer{raw: out.Bytes()}, nil
}

func badBody(format string, args ...any) error {
	return &Error{http.StatusBadRequest, d1.CodeBadRequest, "Invalid request: " + fmt.Sprintf(format, args...)}
}

// parameters turns JSON into values to bind. Arrays of bytes are blobs.
func parameters(in []any) ([]any, error) {
	var out []any
	for i, p := range in {
		switch v := p.(type) {
		case nil, string, bool:
			out = append(out, v)
		case json.Number:
			n, err := number(v)
			if err != nil {
				return nil, badBody("parameter %d: %v", i+1, err)
			}
			out = append(out, n)
		case []any:
			b, ok := asBytes(v)
			if !ok {
				return nil, badBody("parameter %d: an array must hold bytes (0 to 255)", i+1)
			}
			out = append(out, b)
		default:
			return nil, badBody("parameter %d: an object cannot be bound", i+1)
		}
	}
	return out, nil
}

func number(n json.Number) (any, error) {
	if i, err := strconv.ParseInt(string(n), 10, 64); err == nil {
		return i, nil
	}
	f, err := n.Float64()
	if err != nil {
		return nil, fmt.Errorf("number %s is out of range", n)
	}
	return f, nil
}

func asBytes(v []any) ([]byte, bool) {
	b := make([]byte, len(v))
	for i, x := range v {
		n, ok := x.(json.Number)
		if !ok {
			return nil, false
		}
		u, err := strconv.ParseUint(string(n), 10, 8)
		if err != nil {
			return nil, false
		}
		b[i] = byte(u)
	}
	return b, true
}

// writeResult writes one result; objects keep the order of the columns.
func writeResult(out *bytes.Buffer, r d1.Result, raw bool) error {
	names := make([][]byte, len(r.Columns))
	for i, c := range r.Columns {
		b, err := json.Marshal(c)
		if err != nil {
			return err
		}
		names[i] = b
	}
	out.WriteString(`{"results":`)
	if raw {
		out.WriteString(`{"columns":[`)
		out.Write(bytes.Join(names, []byte(",")))
		out.WriteString(`],"rows":`)
	}
	out.WriteByte('[')
	for i, row := range r.Rows {
		if i > 0 {
			out.WriteByte(',')
		}
		if err := writeRow(out, names, row, raw); err != nil {
			return err
		}
	}
	out.WriteByte(']')
	if raw {
		out.WriteByte('}')
	}
	meta, err := json.Marshal(viewMeta(r.Meta))
	if err != nil {
		return err
	}
	out.WriteString(`,"success":true,"meta":`)
	out.Write(meta)
	out.WriteByte('}')
	return nil
}

func writeRow(out *bytes.Buffer, names [][]byte, row []any, raw bool) error {
	opening, closing := byte('{'), byte('}')
	if raw {
		opening, closing = '[', ']'
	}
	out.WriteByte(opening)
	for i, v := range row {
		if i > 0 {
			out.WriteByte(',')
		}
		if !raw {
			out.Write(names[i])
			out.WriteByte(':')
		}
		if err := writeCell(out, v); err != nil {
			return err
		}
	}
	out.WriteByte(closing)
	return nil
}

// writeCell writes a value as the platform does: blobs as arrays of bytes,
// reals that JSON has no number for as null.
func writeCell(out *bytes.Buffer, v any) error {
	switch v := v.(type) {
	case int64:
		out.WriteString(strconv.FormatInt(v, 10))
		return nil
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			out.WriteString("null")
			return nil
		}
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
	}
	b, err := json.Marshal(v)
	out.Write(b)
	return err
}

func viewMeta(m d1.Meta) map[string]any {
	ms := float64(m.Duration.Microseconds()) / 1000
	return map[string]any{"served_by": "firedrill-sandbox", "served_by_region": "SANDBOX", "served_by_primary": true,
		"timings": map[string]any{"sql_duration_ms": ms}, "duration": ms, "changes": m.Changes, "last_row_id": m.LastRowID,
		"changed_db": m.ChangedDB, "size_after": m.SizeAfter, "rows_read": m.RowsRead, "rows_written": m.RowsWritten, "total_attempts": 1}
}

func (s *Server) bookmark(q request) (answer, error) {
	mark, err := s.markAt(q)
	return answer{result: map[string]any{"bookmark": mark}}, err
}

// markAt is the bookmark at the time that the query names, or now.
func (s *Server) markAt(q request) (string, error) {
	text := q.r.URL.Query().Get("timestamp")
	if text == "" {
		return s.cfg.D1.Bookmark(q.r.Context(), q.databaseID())
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return "", badBody("timestamp %q is not of the form 2026-01-02T15:04:05Z", text)
	}
	return s.cfg.D1.BookmarkAt(q.r.Context(), q.databaseID(), at)
}

func (s *Server) restore(q request) (answer, error) {
	query := q.r.URL.Query()
	mark := query.Get("bookmark")
	if mark == "" && query.Get("timestamp") == "" {
		return answer{}, badBody("give bookmark or timestamp")
	}
	if mark == "" {
		var err error
		if mark, err = s.markAt(q); err != nil {
			return answer{}, err
		}
	}
	if err := s.countRestore(q); err != nil {
		return answer{}, err
	}
	now, previous, err := s.cfg.D1.Restore(q.r.Context(), q.databaseID(), mark)
	if err != nil {
		return answer{}, err
	}
	return answer{result: map[string]any{"bookmark": now, "previous_bookmark": previous, "message": "Database " + q.databaseID() + " restored to bookmark " + mark}}, nil
}
