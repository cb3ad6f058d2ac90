package cloudflare

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"firedrill"
	"firedrill/internal/hold"
)

// TestWhoLosesItsHoldOnTheWayOutSendsNothing takes the environment away at each of
// the moments at which a request asks. A process can be stopped at any of them, and
// wake up when somebody else works on the environment.
func TestWhoLosesItsHoldOnTheWayOutSendsNothing(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodPost, http.MethodDelete, http.MethodGet} {
		for after := range 3 {
			t.Run(fmt.Sprintf("%s after %d", method, after), func(t *testing.T) {
				t.Parallel()
				var whole atomic.Int32
				c, _ := against(t, func(w http.ResponseWriter, r *http.Request) {
					if _, err := io.ReadAll(r.Body); err == nil {
						whole.Add(1)
					}
					_, _ = io.WriteString(w, `{"success":true,"errors":[],"result":{}}`)
				})
				var asked atomic.Int32
				ctx := hold.While(t.Context(), func() bool { return int(asked.Add(1)) > after })
				// What a context derived before knows is no help.
				ctx, cancel := context.WithCancel(ctx)
				defer cancel()
				req := Request{Op: "test", Method: method, Path: c.AccountPath("x")}
				if method == http.MethodPost {
					req.Body = []byte(`{"sql":"DELETE FROM t"}`)
				}
				_, err := c.Do(ctx, req)
				kind := firedrill.KindOf(err)
				switch sent := whole.Load() > 0; {
				case !sent && err == nil, sent && kind == firedrill.KindInterrupted && method != http.MethodGet:
					t.Errorf("sent %v, and %v", sent, err)
				case sent && (after == 0 || after == 1 && method == http.MethodPost): // the connection, then the body
					t.Error("sent")
				case after == 0 && kind != firedrill.KindInterrupted:
					t.Errorf("%v is of kind %q", err, kind)
				}
			})
		}
	}
}
