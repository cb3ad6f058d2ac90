package api

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Quotas are the limits that the platform counts over time. The zero value
// counts nothing.
type Quotas struct {
	// Window is the time in which [MaxCalls] calls are allowed, and for which
	// every call is refused after one too many: five minutes on the platform,
	// shorter in tests. It passes on the clock of the configuration, so that a
	// client with a virtual clock can be held to it. 0: nothing is counted.
	Window time.Duration
}

// What the platform allows: calls of the API in five minutes for a user
// (developers.cloudflare.com/fundamentals/api/reference/limits), and restores
// of one database in ten (developers.cloudflare.com/d1/platform/limits).
const (
	PlatformWindow = 5 * time.Minute
	MaxCalls       = 1200
	MaxRestores    = 10
)

// The codes of a refusal; the second is the sandbox's choice.
const (
	codeTooManyCalls    = 971
	codeTooManyRestores = 7429
)

// limiter counts what happened in the last window, by key.
type limiter struct {
	window time.Duration
	most   int
	// lockOut: what is one too many shuts the key for a whole window.
	lockOut bool
	now     func() time.Time

	mu   sync.Mutex
	seen map[string][]time.Time
	shut map[string]time.Time // until when
}

// allowance is what a limiter says of one event.
type allowance struct {
	left  int           // how many more may come now
	reset time.Duration // until there are more
	wait  time.Duration // above zero: this one is refused, for that long
}

// take counts one event under key. When there are too many already it counts
// nothing and says how long to wait.
func (l *limiter) take(key string) allowance {
	if l.window == 0 {
		return allowance{left: l.most}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if wait := l.shut[key].Sub(now); wait > 0 {
		return allowance{reset: wait, wait: wait}
	}
	list := l.seen[key]
	for len(list) > 0 && now.Sub(list[0]) >= l.window {
		list = list[1:]
	}
	if len(list) >= l.most {
		wait := l.window - now.Sub(list[0])
		if l.lockOut {
			wait = l.window
			l.shut[key] = now.Add(wait)
		}
		return allowance{reset: wait, wait: wait}
	}
	list = append(list, now)
	l.seen[key] = list
	return allowance{left: l.most - len(list), reset: l.window - now.Sub(list[0])}
}

func newLimiter(window time.Duration, most int, now func() time.Time) *limiter {
	return &limiter{window: window, most: most, now: now, seen: map[string][]time.Time{}, shut: map[string]time.Time{}}
}

// countCall refuses a call that is one too many, and then every call for a
// whole window, as the platform does. Each answer says what is left, in the
// platform's two ways
// (developers.cloudflare.com/fundamentals/api/reference/limits).
func (s *Server) countCall(w http.ResponseWriter) error {
	if s.calls.window == 0 {
		return nil
	}
	got := s.calls.take("")
	h := w.Header()
	h.Set("Ratelimit", fmt.Sprintf(`"default";r=%d;t=%s`, got.left, wholeSeconds(got.reset)))
	h.Set("Ratelimit-Policy", fmt.Sprintf(`"default";q=%d;w=%s`, s.calls.most, wholeSeconds(s.calls.window)))
	h.Set("X-Ratelimit-Limit", strconv.Itoa(s.calls.most))
	h.Set("X-Ratelimit-Remaining", strconv.Itoa(got.left))
	h.Set("X-Ratelimit-Reset", wholeSeconds(got.reset))
	if got.wait == 0 {
		return nil
	}
	h.Set("Retry-After", wholeSeconds(got.wait))
	return &Error{http.StatusTooManyRequests, codeTooManyCalls, "Please wait and consider throttling your request speed"}
}

// countRestore refuses a restore that is one too many for its database.
func (s *Server) countRestore(q request) error {
	wait := s.restores.take(q.databaseID()).wait
	if wait == 0 {
		return nil
	}
	q.w.Header().Set("Retry-After", wholeSeconds(wait))
	return &Error{http.StatusTooManyRequests, codeTooManyRestores,
		fmt.Sprintf("A database can be restored %d times in %v: wait %s s.", s.restores.most, s.restores.window, wholeSeconds(wait))}
}

func wholeSeconds(d time.Duration) string {
	return strconv.Itoa(int((d + time.Second - 1) / time.Second))
}
