package saboteur

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"firedrill"
)

// Behind is the honest cloud that a stage stands before.
type Behind struct {
	API   string // base address of the API
	Front string // address of the service
	Token string
}

// Stage is where one lie is told in one run.
type Stage struct {
	Behind
	api, front *relay
	// Things are the names and ids of what the run works with.
	Things map[string]string
	// Home is the folder in which firedrill keeps the run.
	Home string

	client *http.Client

	mu     sync.Mutex
	script Script
	told   int
	failed []error
}

// Open opens a stage that tells the truth. Close must be called.
func Open(ctx context.Context, b Behind, home string) (*Stage, error) {
	s := &Stage{Behind: b, Things: map[string]string{}, Home: home,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}, Timeout: 5 * time.Minute}} // thousands of keys, on a busy machine
	hook := func(of func(Script) Hook) func() Hook {
		return func() Hook {
			s.mu.Lock()
			defer s.mu.Unlock()
			return of(s.script)
		}
	}
	var err error
	if s.api, err = newRelay(ctx, hostOf(b.API), hook(func(s Script) Hook { return s.API }), s.fail); err != nil {
		return nil, err
	}
	if s.front, err = newRelay(ctx, hostOf(b.Front), hook(func(s Script) Hook { return s.Front }), s.fail); err != nil {
		return nil, errors.Join(err, s.api.close())
	}
	return s, nil
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

// Close closes the stage.
func (s *Stage) Close() error {
	err := errors.Join(s.api.close(), s.front.close())
	s.client.CloseIdleConnections()
	return err
}

// APIAddress is the base address of the API that lies.
func (s *Stage) APIAddress() string { return replaceHost(s.API, s.api.addr) }

// FrontAddress is the address of a service, known by its host name below
// localhost, that lies.
func (s *Stage) FrontAddress(name string) string {
	_, port, _ := strings.Cut(s.front.addr, ":")
	return "http://" + name + ".localhost:" + port
}

func replaceHost(address, host string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	u.Host = host
	return u.String()
}

// Perform begins to tell a lie.
func (s *Stage) Perform(ctx context.Context, tell Tell) error {
	script, err := tell(ctx, s)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = script
	return err
}

// Now makes of a true clock the one of the script.
func (s *Stage) Now(clock func() firedrill.Stamp) func() firedrill.Stamp {
	return func() firedrill.Stamp {
		s.mu.Lock()
		change := s.script.Clock
		s.mu.Unlock()
		if change == nil {
			return clock()
		}
		return change(clock())
	}
}

// Tell counts that the lie was told.
func (s *Stage) Tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told++
}

// Told tells how often the lie was told, and what went wrong in the telling.
func (s *Stage) Told() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told, errors.Join(s.failed...)
}

func (s *Stage) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.failed) < 10 {
		s.failed = append(s.failed, err)
	}
}

// Call makes a call of its own to the API behind, which nobody lies about, and
// gives the answer.
func (s *Stage) Call(ctx context.Context, method, path, contentType string, body []byte) (*Answer, error) {
	req, err := http.NewRequestWithContext(context.WithoutCancel(ctx), method, s.API+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+s.Token)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // read whole or failed
	data, err := io.ReadAll(resp.Body)
	return &Answer{resp.StatusCode, resp.Header, data}, err
}

// Ask is Call with a body of JSON for a call that has to succeed; into gets the
// result of the answer's envelope, and may be nil.
func (s *Stage) Ask(ctx context.Context, method, path string, body, into any) error {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return err
		}
	}
	a, err := s.Call(ctx, method, path, "application/json", data)
	if err != nil {
		return err
	}
	return a.Result(method+" "+path, into)
}

// Result reads the result of an envelope that says that the call succeeded.
func (a *Answer) Result(what string, into any) error {
	var envelope struct {
		Success bool            `json:"success"`
		Result  json.RawMessage `json:"result"`
	}
	if err := json.Unmarshal(a.Body, &envelope); err != nil || !envelope.Success {
		return fmt.Errorf("%s: %d %.300s", what, a.Status, a.Body)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(envelope.Result, into)
}
