package http

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"firedrill"
	"firedrill/internal/action"
)

// exporter answers with what a test lays out: one answer after the other, the
// last again and again.
type exporter struct {
	*httptest.Server
	mu      sync.Mutex
	answers []string
	header  http.Header
	asked   []string
	conns   map[string]bool
}

func newExporter(t *testing.T, answers ...string) *exporter {
	t.Helper()
	x := &exporter{answers: answers, header: http.Header{}, conns: map[string]bool{}}
	x.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.asked = append(x.asked, r.URL.RequestURI())
		x.conns[r.RemoteAddr] = true
		for k, v := range x.header {
			w.Header()[k] = v
		}
		text := x.answers[0]
		if len(x.answers) > 1 {
			x.answers = x.answers[1:]
		}
		if text == "503" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprint(w, text)
	}))
	t.Cleanup(x.Close)
	return x
}

func (x *exporter) set(header string, answers ...string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.answers, x.header = answers, http.Header{}
	if k, v, ok := strings.Cut(header, ": "); ok {
		x.header.Set(k, v)
	}
}

// comparing is a run's folder with a fingerprint of an export in it.
type comparing struct {
	t    *testing.T
	x    *exporter
	call firedrill.Call
	file string
}

func (c *comparing) do(name string, more firedrill.Values) (firedrill.Outcome, error) {
	c.t.Helper()
	r, err := action.NewRegistry(Pack(Deps{Secrets: action.Secrets{LookupEnv: func(string) (string, bool) { return secretHeader, true }}}))
	if err != nil {
		c.t.Fatal(err)
	}
	a, _ := r.Lookup(name)
	call := c.call
	call.Step = name
	call.Inputs = firedrill.Values{"exports": []any{
		map[string]any{"name": "app /export", "url": c.x.URL + "/export?all=1", "key": "id", "of": "primary", "redact": []any{"email"}, "headers": map[string]any{"X-Key": map[string]any{"env": "KEY"}}},
		map[string]any{"name": "app /other", "url": "http://127.0.0.1:1/", "key": "id", "of": "other"},
	}, "of": "primary"}
	if c.file != "" {
		call.Inputs["against"] = c.file
	}
	for k, v := range more {
		call.Inputs[k] = v
	}
	out, err := a.Do(c.t.Context(), call)
	if told := fmt.Sprintf("%+v %v", out, err); strings.Contains(told, "@") || strings.Contains(told, secretHeader) {
		c.t.Errorf("it tells what is redacted: %s", told)
	}
	return out, err
}

// fingerprinted fingerprints an export.
func fingerprinted(t *testing.T, answer string) *comparing {
	t.Helper()
	c := &comparing{t: t, x: newExporter(t, answer), call: firedrill.Call{Attempt: 1, Dir: t.TempDir(), Progress: func(firedrill.Progress) {},
		Now: func() firedrill.Stamp {
			return firedrill.Stamp{Wall: time.Now(), Mono: time.Now().UnixNano(), Boot: "b"}
		}}}
	out, err := c.do("http.fingerprint", nil)
	if err != nil {
		t.Fatal(err)
	}
	c.file, _ = out.Outputs["file"].(string)
	data, err := os.ReadFile(c.call.Dir + "/" + c.file)
	if err != nil || strings.Contains(string(data), "@") {
		t.Errorf("%v: %s", err, data)
	}
	return c
}

const three = `[{"id":1,"email":"a@x","n":9007199254740993,"in":{"b":[1,2],"a":null}},{"id":2,"email":"b@x","n":1.0},{"id":"2","email":"c@x","n":"ü"}]`

// TestEveryRecordCounts: order does not, every value does, exactly as written,
// and a difference names record, field and values.
func TestEveryRecordCounts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ answer, want string }{
		"the same":                {three, ""},
		"another order":           {`[ {"n":"ü","email":"c@x","id":"2"}, {"id":2,"n":1.0,"email":"b@x"}, {"in":{"a":null,"b":[1, 2]},"n":9007199254740993,"id":1,"email":"a@x"} ]`, ""},
		"pages":                   {`{"records":` + three + `,"next":null}`, ""},
		"an integer rounded":      {strings.Replace(three, "740993", "740992", 1), `id=1: n 9007199254740993 is now 9007199254740992`},
		"a number of another way": {strings.Replace(three, "1.0", "1", 1), `id=2: n 1.0 is now 1`},
		"redacted":                {strings.Replace(three, "b@x", "x@x", 1), `id=2: email (redacted) is now (redacted)`},
		"null to empty":           {strings.Replace(three, `"a":null`, `"a":""`, 1), `id=1: in {"a":null,"b":[1,2]} is now {"a":"","b":[1,2]}`},
		"a list of another order": {strings.Replace(three, `[1,2]`, `[2,1]`, 1), `id=1: in `},
		"a field more":            {strings.Replace(three, `"n":1.0`, `"n":1.0,"m":1`, 1), `id=2: m is new`},
		"a field less":            {strings.Replace(three, `,"n":1.0`, ``, 1), `id=2: n is gone`},
		"values swapped":          {`[{"id":1,"email":"b@x","n":9007199254740993,"in":{"b":[1,2],"a":null}},{"id":2,"email":"a@x","n":1.0},{"id":"2","email":"c@x","n":"ü"}]`, `id=1: email (redacted) is now (redacted); id=2: email`},
		"a record more":           {three[:len(three)-1] + `,{"id":3}]`, `id=3 is new`},
		"a record less":           {`[{"id":1,"email":"a@x","n":9007199254740993,"in":{"b":[1,2],"a":null}},{"id":2,"email":"b@x","n":1.0}]`, `id="2" is missing`},
		"a record twice":          {three[:len(three)-1] + `,{"id":1}]`, `records 1 and 4 have one key, id=1`},
		"a field twice":           {strings.Replace(three, `"n":1.0`, `"n":1.0,"n":1.0`, 1), `field "n" stands twice`},
		"a key that is none":      {`[{"id":{"a":1}}]`, "is no name"},
		"nested too deep":         {`[{"id":1,"x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}]`, "nested deeper than 100"},
		"no key":                  {`[{"n":1}]`, `record 1 has no "id"`},
		"nothing":                 {`[]`, `id=1 is missing`},
		"no list":                 {`{"users":[]}`, `an object without "records"`},
		"cut off":                 {three[:len(three)-3], "not JSON"},
		"two documents":           {three + three, "more than one JSON document"},
		"down":                    {"503", "status 503"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fingerprinted(t, three)
			f.x.set("", c.answer)
			out, err := f.do("http.fingerprint-compare", nil)
			if err != nil || len(out.Checks) != 1 || out.Checks[0].Compared == 0 {
				t.Fatalf("%+v %v", out, err)
			}
			if got := out.Checks[0]; got.OK != (c.want == "") || !strings.Contains(got.Detail, c.want) {
				t.Errorf("%+v, want %q", got, c.want)
			}
		})
	}
}

// TestAnotherAnswerCanComeFromAnotherReplica: one wrong answer among right ones
// is found, and every answer comes over a connection of its own.
func TestAnotherAnswerCanComeFromAnotherReplica(t *testing.T) {
	t.Parallel()
	f := fingerprinted(t, three)
	stale := strings.Replace(three, "1.0", "7", 1)
	f.x.set("", three, three, stale)
	out, err := f.do("http.fingerprint-compare", nil)
	if err != nil || out.Checks[0].OK || !strings.Contains(out.Checks[0].Detail, "answer 3 of 3: id=2: n 1.0 is now 7") {
		t.Errorf("%+v %v", out, err)
	}
	f.x.set("", three, stale, three)
	if out, err := f.do("http.fingerprint-compare", firedrill.Values{"patience": int64(20)}); err != nil || !out.Checks[0].OK {
		t.Errorf("a replica that lags: %+v %v", out, err)
	}
	f.x.mu.Lock()
	defer f.x.mu.Unlock()
	if len(f.x.conns) != len(f.x.asked) {
		t.Errorf("%d connections for %d requests", len(f.x.conns), len(f.x.asked))
	}
}

// TestAnExportFromACacheShowsNothing, neither by what it says of itself nor by
// being the same while the data is damaged.
func TestAnExportFromACacheShowsNothing(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"Age: 12", "CF-Cache-Status: HIT"} {
		f := fingerprinted(t, three)
		f.x.set(header, three)
		if out, err := f.do("http.fingerprint-compare", nil); err != nil || out.Checks[0].OK || !strings.Contains(out.Checks[0].Detail, "from a cache ("+header) {
			t.Errorf("%+v %v", out, err)
		}
		f.file = ""
		if _, err := f.do("http.fingerprint", nil); firedrill.KindOf(err) != firedrill.KindExpectation {
			t.Errorf("before the drill: %v", err)
		}
	}
	f := fingerprinted(t, three)
	if out, err := f.do("http.fingerprint-compare", firedrill.Values{"damage": true}); err != nil || len(out.Checks) != 0 || len(out.Collateral) != 1 || !strings.Contains(out.Collateral[0], "app /export was the same while the data was damaged") {
		t.Errorf("%+v %v", out, err)
	}
	f.x.set("", three, three, three, strings.Replace(three, "1.0", "7", 1))
	if out, err := f.do("http.fingerprint-compare", firedrill.Values{"damage": true, "patience": int64(20)}); err != nil || len(out.Collateral) != 0 || out.Outputs["differing"] != int64(1) {
		t.Errorf("damage that shows late: %+v %v", out, err)
	}
}

func TestAnExportMustGiveRecordsAndTwiceTheSame(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answers []string
		kind    firedrill.Kind
	}{
		"nothing":       {[]string{"[]"}, firedrill.KindExpectation},
		"down":          {[]string{"503"}, firedrill.KindExpectation},
		"somebody else": {[]string{three, strings.Replace(three, "1.0", "7", 1)}, firedrill.KindConflict},
	} {
		f := fingerprinted(t, three)
		f.file = ""
		f.x.set("", c.answers...)
		if _, err := f.do("http.fingerprint", nil); firedrill.KindOf(err) != c.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	f := fingerprinted(t, three)
	if _, err := f.do("http.fingerprint-compare", firedrill.Values{"of": "nothing"}); firedrill.KindOf(err) != firedrill.KindExpectation {
		t.Errorf("no export: %v", err)
	}
	f.file = "../x"
	if _, err := f.do("http.fingerprint-compare", nil); firedrill.KindOf(err) != firedrill.KindUsage {
		t.Errorf("a file elsewhere: %v", err)
	}
}

// TestAnExportMayComeInPagesOrLines: a page that is missing or repeated is found.
func TestAnExportMayComeInPagesOrLines(t *testing.T) {
	t.Parallel()
	var all []json.RawMessage
	if err := json.Unmarshal([]byte(three), &all); err != nil {
		t.Fatal(err)
	}
	page := func(next string, of ...json.RawMessage) string {
		text, err := json.Marshal(append([]json.RawMessage{}, of...))
		if err != nil {
			t.Fatal(err)
		}
		return `{"records":` + string(text) + `,"next":` + next + `}`
	}
	good := []string{page(`"a b&c"`, all[0], all[1]), page(`7`), page(`""`, all[2])}
	for name, c := range map[string]struct {
		header  string
		answers []string
		want    string
	}{
		"pages":              {"", append(append(append([]string{}, good...), good...), good...), "3 records, 3 times as before"},
		"a page is missing":  {"", []string{good[0], page("null")}, `id="2" is missing`},
		"a page comes twice": {"", []string{good[0], page(`8`, all[1])}, "have one key, id=2"},
		"it does not end":    {"", []string{page("7")}, `the cursor "7" twice`},
		"lines":              {"Content-Type: application/x-ndjson", []string{string(all[2]) + "\n" + string(all[0]) + "\n" + string(all[1]) + "\n"}, "3 records, 3 times as before"},
		"half a line":        {"Content-Type: application/x-ndjson", []string{string(all[2]) + "\n" + string(all[0][:9])}, "not a JSON document a line"},
	} {
		f := fingerprinted(t, three)
		f.x.set(c.header, c.answers...)
		out, err := f.do("http.fingerprint-compare", nil)
		if err != nil || !strings.Contains(out.Checks[0].Detail, c.want) {
			t.Errorf("%s: %+v %v", name, out, err)
		}
		if name == "pages" {
			f.x.mu.Lock()
			last := f.x.asked[len(f.x.asked)-2:]
			f.x.mu.Unlock()
			if last[0] != "/export?all=1&cursor=a+b%26c" || last[1] != "/export?all=1&cursor=7" {
				t.Errorf("asked for %q", last)
			}
		}
	}
}

// FuzzAnExport: whatever a route answers, it is taken or refused, and what is
// taken twice is the same.
func FuzzAnExport(f *testing.F) {
	for _, text := range []string{three, `{"records":` + three + `,"next":"x"}`, `{"id":1}` + "\n" + `{"id":2,"a":{"b":[{}]}}`, `[{"id":1e400,"x":"\ud800"}]`, `[`, ``, ` null`, "[{\"id\":\"\xbc\"}]"} {
		f.Add([]byte(text), false)
		f.Add([]byte(text), true)
	}
	e := Export{Name: "x", Key: "id", Redact: []string{"email"}}
	f.Fuzz(func(t *testing.T, body []byte, lines bool) {
		var both [2]records
		for i := range both {
			both[i] = records{byKey: map[string]int{}}
			if _, err := both[i].add(e, body, lines); err != nil {
				return
			}
		}
		if diff := differences(e, both[0], both[1]); len(diff) > 0 {
			t.Errorf("it differs from itself: %q", diff)
		}
		data, err := json.Marshal(both[0])
		if err != nil {
			t.Fatal(err)
		}
		var kept records
		if err := json.Unmarshal(data, &kept); err != nil {
			t.Fatal(err)
		}
		if diff := differences(e, kept, both[1]); len(diff) > 0 {
			t.Errorf("it differs from what was kept of it: %q", diff)
		}
	})
}
