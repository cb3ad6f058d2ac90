// Package cloudflare speaks to the Cloudflare v4 API (or to anything that
// answers like it) through one narrow client, and brings the actions that
// drills use on databases and Workers.
//
// The client has one way out, [Client.Do]. A request says what it is for, which
// resource it is about, every id that it refers to in its path and in its
// body, and whether it may be repeated. Guards, pace, repetition and the
// reading of errors stand in that one place; no action has another transport.
//
// What an answer means: the envelope's `success` decides, never the status
// alone; an answer that cannot be read is an error; and a request that was
// sent and not answered has an unknown outcome, which is not the same as one
// that was never sent.
package cloudflare

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"firedrill"
)

// DefaultAPI is the address of the real platform.
const DefaultAPI = "https://api.cloudflare.com/client/v4"

// Config says where a client speaks to, and with what.
type Config struct {
	API     string // base address; empty: [DefaultAPI]
	Account string // account id, 32 hexadecimal digits
	// Token gives the API token when a request needs it. It is asked once a
	// request and never stored, so that a rotated token is used at once.
	Token func(ctx context.Context) (string, error)
	// Pace is the share of the platform's quota (1,200 requests in 5 minutes)
	// that this client may use, above 0 and at most 1. 0 means half of it on
	// the platform and no limit on a loopback address, where there is no quota.
	Pace float64
	// Guard may refuse a request before anything is sent. nil refuses nothing.
	Guard *Guard
	HTTP  *http.Client // nil: one of its own
	// Patience is how long a request may stand still, on its way out, while its
	// answer is awaited, or in the middle of the answer. 0: 2 minutes.
	Patience time.Duration
	Now      func() time.Time
	// Sleep waits, or gives the context's error.
	Sleep func(ctx context.Context, d time.Duration) error
	// Trace is told about every exchange, without secrets. nil: nobody.
	Trace func(Exchange)
}

// Exchange is what happened on the wire, for traces. It holds no headers and
// no bodies, so no secrets.
type Exchange struct {
	Op      string
	Method  string
	Path    string
	Status  int // 0: no answer
	Attempt int // from 1
	Took    time.Duration
	Err     error
}

// Client speaks to one account.
type Client struct {
	cfg  Config
	base string
	http *http.Client
	pace *pacer
	// local is set for loopback addresses: nobody counts requests there.
	local bool

	looking sync.Mutex  // held while what is called what is asked
	looked  atomic.Bool // nothing is to be asked

	mu        sync.Mutex
	databases map[string]Database // by id: what a database is called
	scratches map[ID]string       // what this client made to throw it away, and what it is called
}

// New makes a client. It sends nothing.
func New(cfg Config) (*Client, error) {
	if cfg.API == "" {
		cfg.API = DefaultAPI
	}
	base, err := url.Parse(cfg.API)
	if err != nil || (base.Scheme != "https" && base.Scheme != "http") || base.Host == "" || base.User != nil || base.RawQuery != "" {
		return nil, &firedrill.Error{Op: "cloudflare", Kind: firedrill.KindUsage, Target: "setting api",
			Detail: "is not an http or https address", Remedy: "write for example " + DefaultAPI}
	}
	local := isLoopback(base.Hostname())
	if base.Scheme == "http" && !local {
		return nil, &firedrill.Error{Op: "cloudflare", Kind: firedrill.KindUsage, Target: "setting api",
			Detail: "would send the token unencrypted to " + base.Host, Remedy: "use https; plain http is for loopback addresses"}
	}
	if cfg.Pace < 0 || cfg.Pace > 1 {
		return nil, &firedrill.Error{Op: "cloudflare", Kind: firedrill.KindUsage, Target: "setting pace",
			Detail: "is not a share between 0 and 1", Remedy: "write for example pace: 0.5"}
	}
	c := &Client{cfg: cfg, base: strings.TrimRight(cfg.API, "/"), local: local, databases: map[string]Database{}, scratches: map[ID]string{}}
	pace := cfg.Pace
	if pace == 0 && !local {
		pace = 0.5
	}
	if c.cfg.Patience == 0 {
		c.cfg.Patience = 2 * time.Minute
	}
	if c.cfg.Now == nil {
		c.cfg.Now = time.Now
	}
	if c.cfg.Sleep == nil {
		c.cfg.Sleep = sleep
	}
	c.pace = newPacer(pace, c.cfg.Now, c.cfg.Sleep)
	c.http = withoutRedirects(cfg.HTTP)
	return c, nil
}

// Account is the id of the account that the client speaks to.
func (c *Client) Account() string { return c.cfg.Account }

// API is the base address that the client speaks to.
func (c *Client) API() string { return c.base }

// Now is the client's clock.
func (c *Client) Now() time.Time { return c.cfg.Now() }

// Sleep waits on the client's clock, or gives the context's error.
func (c *Client) Sleep(ctx context.Context, d time.Duration) error { return c.cfg.Sleep(ctx, d) }

// AccountPath gives the path of something below the account. Its segments
// are escaped here, so a name may hold any character.
func (c *Client) AccountPath(segments ...string) string {
	var b strings.Builder
	b.WriteString("/accounts/" + url.PathEscape(c.cfg.Account))
	for _, s := range segments {
		b.WriteString("/" + url.PathEscape(s))
	}
	return b.String()
}

// withoutRedirects copies a client so that it follows no redirect: the token
// would go wherever the answer points.
func withoutRedirects(h *http.Client) *http.Client {
	own := &http.Client{}
	if h != nil {
		*own = *h
	} else {
		own.Transport = &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSHandshakeTimeout: 10 * time.Second,
			IdleConnTimeout:     30 * time.Second,
			MaxIdleConnsPerHost: 8,
			ForceAttemptHTTP2:   true,
		}
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return own
}

func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
