package cloudflare

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"firedrill"
)

// reaching asks what a token reaches; the answers are those of an [estate].
func reaching(t *testing.T, e estate) (Reach, error) {
	t.Helper()
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	c, err := New(Config{API: server.URL + "/client/v4", Account: testAccount, Token: func(context.Context) (string, error) { return canaryToken, nil },
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }})
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Standing(t.Context(), "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.Reach(t.Context(), "test", s, nil)
}

// tokenID is the id of the token in these tests.
const tokenID = "ed17574386854bf78a67040be0a770b0"

func TestReach(t *testing.T) {
	t.Parallel()
	const verified, accounts = `{"id":"` + tokenID + `","status":"active"}`, `[{"id":"` + testAccount + `","name":"staging\nof ours"}]`
	const policies = `{"policies":[
		{"effect":"allow","permission_groups":[{"id":"1","name":"Workers Scripts Write"},{"id":"2"}],"resources":{"com.cloudflare.api.account.FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF":"*"}},
		{"effect":"allow","permission_groups":[{"id":"3","name":"Zone Read"}],"resources":{"com.cloudflare.api.account.zone.*":"*"}},
		{"effect":"deny","permission_groups":[{"id":"4","name":"D1 Write"}],"resources":{"com.cloudflare.api.account.*":"*"}}]}`
	for name, c := range map[string]struct {
		of   estate
		want string
	}{
		"a token of a user":       {estate{"/user/tokens/verify": verified, "/accounts": accounts, "/user/tokens/" + tokenID: policies}, "the token reaches 1 account (staging of ours); it may: 2, Workers Scripts Write, Zone Read; denied: D1 Write|[ffffffffffffffffffffffffffffffff] false"},
		"a token of the account":  {estate{"/user/tokens/verify": "denied", "/accounts/ACC/tokens/verify": verified, "/accounts": "denied", "/accounts/ACC/tokens/" + tokenID: policies}, "the API does not tell which accounts the token reaches; it may: 2, Workers Scripts Write, Zone Read; denied: D1 Write|[ffffffffffffffffffffffffffffffff] false"},
		"it may not read itself":  {estate{"/user/tokens/verify": verified, "/accounts": accounts, "/user/tokens/" + tokenID: "denied"}, "the token reaches 1 account (staging of ours); what it may do there the API does not tell: it may not read itself|[] false"},
		"nobody says which it is": {estate{"/user/tokens/verify": `{"status":"active"}`, "/accounts": accounts}, "the token reaches 1 account (staging of ours); what it may do there the API does not tell: the API does not say which token it is|[] false"},
		"all accounts":            {estate{"/user/tokens/verify": verified, "/accounts": accounts, "/user/tokens/" + tokenID: strings.ReplaceAll(policies, "account.FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF", "account.*")}, "the token reaches 1 account (staging of ours); it may: 2, Workers Scripts Write, Zone Read; denied: D1 Write; on all accounts|[] true"},
		"more accounts than shown": {estate{"/user/tokens/verify": verified, "/accounts": `{"success":true,"errors":[],"result":` + accounts + `,"result_info":{"total_count":70}}`, "/user/tokens/" + tokenID: `{"policies":[]}`},
			"the token reaches 1 account (staging of ours, and more); it may do nothing|[] false"},
	} {
		r, err := reaching(t, c.of)
		if got := fmt.Sprintf("%s|%v %v", r.Text(), r.Named, r.Everywhere); err != nil || got != c.want {
			t.Errorf("%s: %v\n got %s\nwant %s", name, err, got, c.want)
		}
	}
	for _, path := range []string{"/accounts", "/user/tokens/" + tokenID} {
		e := estate{"/user/tokens/verify": verified, "/accounts": accounts, "/user/tokens/" + tokenID: policies}
		e[path] = "down"
		if _, err := reaching(t, e); firedrill.KindOf(err) != firedrill.KindUnavailable {
			t.Errorf("%s is down: %v", path, err)
		}
	}
}
