//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// target is where requests go to.
type target struct {
	addr string
	host string // the Host header
}

// sample is what one turn of the load gave.
type sample struct {
	took     time.Duration
	latency  []time.Duration // of the answers that were right
	failed   int
	failures []string // the first few
	answered int      // right answers, those of the warm-up included
	cpu      usage    // of the side, the warm-up included; 0 where it is unknown
}

// warmUp comes before every turn, over the connections of the turn.
const warmUp = 700 * time.Millisecond

// attack keeps c connections busy for a time: each sends the next request when
// the answer to the one before has been read and checked.
func (t target) attack(ctx context.Context, r row, c int, length time.Duration) (sample, error) {
	requests, wants := make([][]byte, keys), make([][]byte, keys)
	for i := range keys {
		requests[i] = fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", r.path(i), t.host)
		wants[i] = []byte(r.want(i))
	}
	ctx, cancel := context.WithTimeout(ctx, warmUp+length+time.Minute)
	defer cancel()
	conns := make([]*connection, c)
	for i := range conns {
		conn, err := t.dial(ctx)
		if err != nil {
			return sample{}, err
		}
		defer conn.hangUp()
		conns[i] = conn
	}
	results := make([]sample, c)
	began := time.Now()
	from, until := began.Add(warmUp), began.Add(warmUp+length)
	var wg sync.WaitGroup
	for i, conn := range conns {
		wg.Go(func() {
			// Connections start at different keys and step by a number that
			// shares no factor with the number of keys.
			for k := i * keys / c; ; k = (k + 7) % keys {
				sent := time.Now()
				if sent.After(until) {
					return
				}
				err := conn.exchange(requests[k], wants[k])
				done := time.Now()
				res := &results[i]
				switch {
				case err != nil:
					// A failure counts in the warm-up too. The connection
					// is in an unknown state: a new one takes over.
					res.add(sample{failed: 1, failures: []string{fmt.Sprintf("%s: %v", r.path(k), err)}})
					conn.hangUp()
					if conn, err = t.dial(ctx); err != nil {
						res.add(sample{failed: 1, failures: []string{err.Error()}})
						return
					}
					defer conn.hangUp()
				default:
					res.answered++
					if sent.After(from) {
						res.latency = append(res.latency, done.Sub(sent))
					}
				}
			}
		})
	}
	wg.Wait()
	sum := sample{took: time.Since(from)}
	for _, res := range results {
		sum.add(res)
	}
	if len(sum.latency) == 0 && sum.failed == 0 {
		return sum, fmt.Errorf("%s: nothing was answered in %v", r.Title, length)
	}
	return sum, ctx.Err()
}

func (s *sample) add(o sample) {
	s.latency = append(s.latency, o.latency...)
	s.failed += o.failed
	s.answered += o.answered
	s.cpu.own += o.cpu.own
	s.cpu.workerd += o.cpu.workerd
	s.failures = append(s.failures, o.failures...)
	s.failures = s.failures[:min(len(s.failures), 3)]
}

// quantile gives a latency; the latencies must be sorted.
func (s *sample) quantile(q float64) time.Duration {
	if len(s.latency) == 0 {
		return 0
	}
	return s.latency[min(int(q*float64(len(s.latency))), len(s.latency)-1)]
}

// connection speaks as much HTTP/1.1 as the two servers need, at a small part
// of what net/http's client costs: on a machine of few cores the generator
// would otherwise be what is measured.
type connection struct {
	net.Conn
	in   *bufio.Reader
	body []byte
}

func (t target) dial(ctx context.Context) (*connection, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", t.addr)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		err = c.SetDeadline(deadline)
	}
	return &connection{Conn: c, in: bufio.NewReaderSize(c, 8<<10)}, err
}

// hangUp closes a connection of which nothing more is expected.
func (c *connection) hangUp() { _ = c.Close() } // the server may have closed it

// exchange sends a request and checks that the answer is 200 with that body.
func (c *connection) exchange(request, want []byte) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	status, err := c.answer()
	if err != nil {
		return err
	}
	if !bytes.Equal(status, []byte("200")) || !bytes.Equal(c.body, want) {
		return fmt.Errorf("answer %s %.200q, want 200 %.60q", status, c.body, want)
	}
	return nil
}

// answer reads one answer and leaves its body in c.body.
func (c *connection) answer() (status []byte, err error) {
	head, err := c.in.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	if len(head) < 12 || !bytes.HasPrefix(head, []byte("HTTP/1.1 ")) {
		return nil, fmt.Errorf("no status line: %q", head)
	}
	status = bytes.Clone(head[9:12])
	length, chunked := -1, false
	for {
		field, err := c.in.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		field = bytes.TrimRight(field, "\r\n")
		if len(field) == 0 {
			break
		}
		name, value, _ := bytes.Cut(field, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return nil, err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = bytes.EqualFold(bytes.TrimSpace(value), []byte("chunked"))
		}
	}
	c.body = c.body[:0]
	switch {
	case chunked:
		return status, c.chunks()
	case length >= 0:
		return status, c.take(length)
	}
	return nil, errors.New("the answer has no length")
}

func (c *connection) chunks() error {
	for {
		head, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(string(bytes.TrimSpace(head)), 16, 24)
		if err != nil {
			return fmt.Errorf("chunk: %w", err)
		}
		if err := c.take(int(n)); err != nil {
			return err
		}
		if _, err := c.in.Discard(2); err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
	}
}

// take appends n bytes to the body.
func (c *connection) take(n int) error {
	had := len(c.body)
	c.body = slices.Grow(c.body, n)[:had+n]
	_, err := io.ReadFull(c.in, c.body[had:])
	return err
}

// ceiling measures the generator against a handler that does nothing.
func ceiling(ctx context.Context, length time.Duration) (_ []ceilingLine, err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok") // the generator checks what arrives
	})}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	defer func() {
		err = errors.Join(err, srv.Close())
		if s := <-served; !errors.Is(s, http.ErrServerClosed) {
			err = errors.Join(err, s)
		}
	}()
	t := target{addr: l.Addr().String(), host: "localhost"}
	var lines []ceilingLine
	for _, c := range connections() {
		progress("the generator's ceiling, %d connections", c)
		s, err := t.attack(ctx, rows()[0], c, length)
		if err != nil {
			return nil, err
		}
		if s.failed > 0 {
			return nil, fmt.Errorf("the generator fails against a handler that does nothing: %s", s.failures[0])
		}
		lines = append(lines, ceilingLine{c, float64(len(s.latency)) / s.took.Seconds()})
	}
	return lines, nil
}
