package conformance

import (
	"encoding/json"
	"testing"
)

// TestEnvelope gives the check answers that contradict themselves.
func TestEnvelope(t *testing.T) {
	t.Parallel()
	const ok, no = `"success":true,"errors":[],"messages":[]`, `"success":false,"errors":[{"code":7404,"message":"m"}],"messages":[]`
	for _, c := range []struct {
		name   string
		status int
		answer string
		right  bool
	}{
		{"answer", 200, `{` + ok + `,"result":null}`, true},
		{"refusal", 404, `{` + no + `,"result":null}`, true},
		{"page", 200, `{` + ok + `,"result":[1,2],"result_info":{"page":2,"per_page":3,"count":2,"total_count":5,"total_pages":2}}`, true},
		{"items", 200, `{` + ok + `,"result":{"items":[1]},"result_info":{"page":1,"per_page":3,"count":1,"total_count":1,"total_pages":1}}`, true},
		{"cursor", 200, `{` + ok + `,"result":[1],"result_info":{"count":1,"cursor":"c"}}`, true},
		{"refusal with 200", 200, `{` + no + `,"result":null}`, false},
		{"success with 400", 400, `{` + ok + `,"result":null}`, false},
		{"refusal with a result", 400, `{` + no + `,"result":{}}`, false},
		{"no code", 400, `{"success":false,"errors":[{"message":"m"}],"messages":[],"result":null}`, false},
		{"errors null", 200, `{"success":true,"errors":null,"messages":[],"result":null}`, false},
		{"no result", 200, `{` + ok + `}`, false},
		{"wrong count", 200, `{` + ok + `,"result":[1],"result_info":{"count":2,"cursor":""}}`, false},
		{"wrong pages", 200, `{` + ok + `,"result":[1],"result_info":{"page":1,"per_page":3,"count":1,"total_count":1,"total_pages":2}}`, false},
		{"page 1 repeated", 200, `{` + ok + `,"result":[1],"result_info":{"page":2,"per_page":3,"count":1,"total_count":1,"total_pages":1}}`, false},
	} {
		var e envelope
		if err := json.Unmarshal([]byte(c.answer), &e); err != nil {
			t.Fatal(c.name, err)
		}
		if found := e.wrong(c.status); (len(found) == 0) != c.right {
			t.Errorf("%s: found %q", c.name, found)
		}
	}
}
