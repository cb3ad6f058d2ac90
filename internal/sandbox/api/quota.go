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
	// Window is the time in which [MaxCalls] calls are allowed: five minutes on
	// the platform, shorter in tests. 0: nothing is counted.
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
	now    func() time.Time

	mu   sync.Mutex
	seen map[string][]time.Time
}

// take counts one event under key. When there are too many already it counts
// nothing and says how long to wait.
func (l *limiter) take(key string) (left int, wait time.Duration) {
	if l.window == 0 {
		return l.most, 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	list := l.seen[key]
	for len(list) > 0 && now.Sub(list[0]) >= l.window {
		list = list[1:]
	}
	if len(list) >= l.most {
		return 0, l.window - now.Sub(list[0])
	}
	if l.seen == nil {
		l.seen = map[string][]time.Time{}
	}
	l.seen[key] = append(list, now)
	return l.most - len(list) - 1, 0
}

// countCall refuses a call that is one too many.
func (s *Server) countCall(w http.ResponseWriter) error {
	left, wait := s.calls.take("")
	if s.calls.window == 0 {
		return nil
	}
	h := w.Header()
	h.Set("X-Ratelimit-Limit", strconv.Itoa(s.calls.most))
	h.Set("X-Ratelimit-Remaining", strconv.Itoa(left))
	if wait == 0 {
		return nil
	}
	h.Set("Retry-After", wholeSeconds(wait))
	h.Set("X-Ratelimit-Reset", wholeSeconds(wait))
	return &Error{http.StatusTooManyRequests, codeTooManyCalls, "Please wait and consider throttling your request speed"}
}

// countRestore refuses a restore that is one too many for its database.
func (s *Server) countRestore(q request) error {
	_, wait := s.restores.take(q.databaseID())
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
