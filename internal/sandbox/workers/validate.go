package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"

	"firedrill/internal/sandbox/workers/workerd"
)

// verdict is what the dry start of an upload found out.
type verdict struct {
	handlers  []string
	named     []NamedHandler
	startupMS int
}

// probeName is the service that tells which handlers a Worker exports. It runs
// the same modules behind a main module of its own.
const probeName = "handlers"

// probeSource is that main module; %s is the specifier of the Worker's own.
const probeSource = `import * as worker from %s;
const known = ["fetch", "scheduled", "queue", "email", "tail", "trace", "tailStream", "test"];
const listed = (x) => {
  if (typeof x === "function") {
    const own = [];
    for (let p = x.prototype; p && p !== Object.prototype; p = Object.getPrototypeOf(p))
      own.push(...Object.getOwnPropertyNames(p));
    return [...known, "alarm", "webSocketMessage", "webSocketClose", "webSocketError", "run"].filter((h) => own.includes(h));
  }
  return known.filter((h) => typeof x?.[h] === "function");
};
export default {
  fetch() {
    const named = Object.keys(worker).filter((k) => k !== "default").map((name) => ({ name, handlers: listed(worker[name]) }));
    return Response.json({ handlers: listed(worker.default), named });
  },
};
`

// validate starts the program once, apart from everything that serves. Code
// that does not start is refused with workerd's own words.
func (m *Manager) validate(ctx context.Context, op string, p program) (verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, validateTime)
	defer cancel()
	// Alone: service bindings lead to stand-ins, so that only this code is judged.
	alone := p
	alone.version.Bindings = nil
	// Durable Objects store in memory: what the code does at its start must not
	// reach what is stored.
	for _, b := range p.version.Bindings {
		b.Entrypoint = ""
		if b.Type == typeService && b.Service == p.version.Script {
			b.Service = "self"
		}
		alone.version.Bindings = append(alone.version.Bindings, b)
	}
	cfg, err := compose(m.bindSocket(), "", []program{alone})
	if err != nil {
		return verdict{}, err
	}
	start := workerd.Start{Config: cfg, Expose: []string{p.version.Script}}
	if !p.version.ServiceWorker {
		probed := start
		probed.Config.Services = append(append([]workerd.Service(nil), cfg.Services...), probeService(cfg.Services, p.version.Script))
		probed.Expose = append(probed.Expose, probeName)
		proc, err := m.sup.Start(ctx, probed)
		if err == nil {
			defer proc.Stop()
			v, err := askHandlers(ctx, proc.Sockets()[probeName])
			if err != nil {
				return verdict{}, fmt.Errorf("%s %s: list the handlers: %w", op, p.version.Script, err)
			}
			v.startupMS = int(proc.StartTime().Milliseconds())
			return v, nil
		}
		if refused := m.refusal(ctx, op, p.version.Script, err); refused != nil {
			return verdict{}, refused
		}
		// Only the probe failed, which says nothing about the Worker: judge it
		// by itself, its handlers stay unknown.
	}
	proc, err := m.sup.Start(ctx, start)
	if err != nil {
		if refused := m.refusal(ctx, op, p.version.Script, err); refused != nil {
			return verdict{}, refused
		}
		return verdict{}, err
	}
	proc.Stop()
	v := verdict{startupMS: int(proc.StartTime().Milliseconds()), handlers: []string{}}
	if p.version.ServiceWorker {
		v.handlers = []string{"fetch"}
	}
	return v, nil
}

// probeService copies the Worker of a script behind the probe's main module.
func probeService(services []workerd.Service, script string) workerd.Service {
	var w workerd.Worker
	for _, s := range services {
		if s.Name == script {
			w = *s.Worker
		}
	}
	w.Classes = nil // the Worker itself has them
	name := "firedrill-handlers.js"
	for taken := true; taken; {
		taken = false
		for _, mod := range w.Modules {
			if mod.Name == name {
				taken, name = true, "x"+name
			}
		}
	}
	main := workerd.Module{Name: name, Kind: workerd.ESModule,
		Body: fmt.Appendf(nil, probeSource, jsString("./"+w.Modules[0].Name))}
	w.Modules = append([]workerd.Module{main}, w.Modules...)
	return workerd.Service{Name: probeName, Worker: &w}
}

func askHandlers(ctx context.Context, socket string) (verdict, error) {
	var d net.Dialer
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return d.DialContext(ctx, "unix", socket)
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://worker/", nil)
	if err != nil {
		return verdict{}, err
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return verdict{}, err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end below
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return verdict{}, err
	}
	var found struct {
		Handlers []string
		Named    []NamedHandler
	}
	if err := json.Unmarshal(body, &found); err != nil {
		return verdict{}, fmt.Errorf("status %d: %w", resp.StatusCode, err)
	}
	return verdict{handlers: found.Handlers, named: found.Named}, nil
}

// startupWord finds the word by which wrangler recognises a CPU limit error: it
// would start a profiler of its own on any message that contains it.
var startupWord = regexp.MustCompile(`(?i)(start)(up)`)

// refusal turns a failed start into the platform's error. It is nil when the
// failure is not the script's.
func (m *Manager) refusal(ctx context.Context, op, script string, err error) error {
	var se *workerd.StartError
	if !errors.As(err, &se) {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return refuse(op, script, CodeInvalid, "The code in global scope did not finish within %v.", validateTime)
		}
		return err
	}
	// The first complaint about this service, with the position lines that
	// follow it.
	prefix := "service " + script + ": "
	var message []string
	for _, line := range se.Lines {
		if text, ok := strings.CutPrefix(line, prefix); ok {
			if message != nil {
				break
			}
			message = []string{text}
			continue
		}
		if message != nil {
			if !strings.HasPrefix(line, "  ") {
				break
			}
			message = append(message, line)
		}
	}
	if message == nil {
		for _, line := range se.Lines {
			if !strings.HasPrefix(line, "service "+probeName+": ") && !strings.HasPrefix(line, "  ") {
				message = append(message, line)
				break
			}
		}
	}
	if message == nil {
		if len(se.Lines) > 0 {
			return nil
		}
		return err
	}
	text := startupWord.ReplaceAllString(strings.Join(message, "\n"), "$1-$2")
	return refuse(op, script, CodeInvalid, "%s", text)
}

// startFailure is the text for a process that workerd refused to start.
func startFailure(err error) (string, bool) {
	var se *workerd.StartError
	if !errors.As(err, &se) || len(se.Lines) == 0 {
		return "", false
	}
	return startupWord.ReplaceAllString(strings.Join(se.Lines, "\n"), "$1-$2"), true
}

// jsString writes s as a JavaScript string literal.
func jsString(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic("a string is always JSON: " + err.Error())
	}
	return string(b)
}
