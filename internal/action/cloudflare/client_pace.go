package cloudflare

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// pacer keeps a client below its share of the platform's quota of 1,200
// requests in 5 minutes. Half of the share may be used at once, the other
// half flows back evenly, so no window of 5 minutes ever holds more than the
// share. Exceeding the quota would block every call for 5 minutes, in the
// middle of a recovery.
type pacer struct {
	now   func() time.Time
	sleep func(context.Context, time.Duration) error

	mu     sync.Mutex
	burst  float64 // 0: nothing is paced
	rate   float64 // per second
	tokens float64
	last   time.Time
	locked time.Time // the platform asked to wait until then
}

func newPacer(share float64, now func() time.Time, sleep func(context.Context, time.Duration) error) *pacer {
	half := share * 1200 / 2
	if share > 0 && half < 1 {
		half = 1
	}
	return &pacer{now: now, sleep: sleep, burst: half, rate: half / 300, tokens: half, last: now()}
}

// wait returns when the next request may be sent.
func (p *pacer) wait(ctx context.Context, notify func(string)) error {
	for {
		d := p.take()
		if d <= 0 {
			return ctx.Err()
		}
		if notify != nil && d > time.Second {
			notify(fmt.Sprintf("waiting %s to stay below the platform's quota", d.Round(time.Second)))
		}
		if err := p.sleep(ctx, d); err != nil {
			return err
		}
	}
}

// take uses one request of the budget, or tells how long to wait for it.
func (p *pacer) take() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if d := p.locked.Sub(now); d > 0 {
		return d
	}
	if p.burst == 0 {
		return 0
	}
	if d := now.Sub(p.last); d > 0 {
		p.tokens = min(p.burst, p.tokens+d.Seconds()*p.rate)
	}
	p.last = now
	if p.tokens >= 1 {
		p.tokens--
		return 0
	}
	return time.Duration((1-p.tokens)/p.rate*float64(time.Second)) + time.Millisecond
}

// reserve is how many calls are left to others. Whoever makes one too many shuts
// the API for everybody.
const reserve = 20

// heed reads what an answer says of the quota that all clients of the account
// share. When others have used it up, requests wait until there is some again.
func (p *pacer) heed(h http.Header) {
	left, reset, told := quota(h)
	if told && left <= reserve && reset > 0 {
		p.lock(min(reset, longestRetry))
	}
}

// quota reads the platform's headers: `ratelimit: "default";r=50;t=30`, or the
// older x-ratelimit-remaining and -reset. Seconds are counted from now.
// Source: developers.cloudflare.com/fundamentals/api/reference/limits
func quota(h http.Header) (left int, reset time.Duration, told bool) {
	values := map[string]string{"r": h.Get("X-Ratelimit-Remaining"), "t": h.Get("X-Ratelimit-Reset")}
	for _, item := range strings.Split(h.Get("Ratelimit"), ";") {
		if k, v, ok := strings.Cut(strings.TrimSpace(item), "="); ok {
			values[k] = v
		}
	}
	left, err := strconv.Atoi(values["r"])
	seconds, err2 := strconv.Atoi(values["t"])
	return left, time.Duration(seconds) * time.Second, err == nil && err2 == nil && left >= 0 && seconds >= 0 && seconds < 1e6
}

// lock holds back every request of the client for d.
func (p *pacer) lock(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := p.now().Add(d); until.After(p.locked) {
		p.locked = until
	}
}
