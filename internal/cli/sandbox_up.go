package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/cli/term"
	"firedrill/internal/sandbox"
	"firedrill/internal/sandbox/api"
	"firedrill/internal/sandbox/workers"
)

// sandboxOptions are the flags of `sandbox`; most are those of `sandbox up`.
type sandboxOptions struct {
	listen, front, state string
	detach               bool
	hosts, stubs         []string
	secretKey            string
	quotas               bool
	quotaWindow          time.Duration
	kvLag                time.Duration
	trace                string
}

func (a *app) sandboxUpCommand(o *sandboxOptions) *cobra.Command {
	c := &cobra.Command{
		Use: "up", Short: "Start it and stay, or --detach",
		Long: `Start the sandbox and stay until Ctrl-C, or --detach.

What Workers print comes to the terminal and into workers.log in the state
folder. Counters for Prometheus are at /metrics of the API's address, with the
token as bearer token.`,
		Example: `  firedrill sandbox up
  firedrill sandbox up --detach --host shop.example.com=gateway
  firedrill sandbox up --secret-key env:SANDBOX_KEY --trace -
  firedrill sandbox up --quotas --kv-lag 60s      as strict and as late as the platform
  firedrill sandbox up --stub ai                  deploy Workers that bind AI; calls are refused`,
		Args: args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			o.quotas = o.quotas || c.Flags().Changed("quota-window")
			return a.sandboxUp(c.Context(), *o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.listen, "listen", sandbox.DefaultListen, "`address` of the API")
	f.StringVar(&o.front, "front", sandbox.DefaultFront, "`address` of the Workers")
	f.BoolVar(&o.detach, "detach", false, "start it in the background and return when it is ready")
	f.StringArrayVar(&o.hosts, "host", nil, "`HOST=WORKER`: reach a Worker under one more host name (repeatable)")
	f.StringArrayVar(&o.stubs, "stub", nil, "accept bindings of this `type` although nothing is behind them (repeatable)")
	f.StringVar(&o.secretKey, "secret-key", "", "encrypt the Workers' secrets at rest with a key: `env:NAME` or file:PATH")
	f.BoolVar(&o.quotas, "quotas", false, "refuse what exceeds the platform's rates: 1,200 calls in 5 minutes, 10 restores in 10")
	f.DurationVar(&o.quotaWindow, "quota-window", api.PlatformWindow, "`time` of the 1,200 calls; the restores' is twice as long (implies --quotas)")
	f.DurationVar(&o.kvLag, "kv-lag", 0, "`time` for which API and Workers may read what the other has changed in KV; 60s on the platform")
	f.StringVar(&o.trace, "trace", "", "write each call of the API as a line of JSON to a `file`, or - for the terminal")
	_ = c.RegisterFlagCompletionFunc("stub", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) { // the flag exists
		return workers.Stubs(), cobra.ShellCompDirectiveNoFileComp
	})
	return c
}

// sandboxConfig checks the flags and makes a configuration of them; workerd and
// the state folder are still missing.
func (a *app) sandboxConfig(ctx context.Context, o sandboxOptions) (sandbox.Config, error) {
	usage := func(flag, value, remedy string) error {
		return &firedrill.Error{Op: "start the sandbox", Kind: firedrill.KindUsage, Target: "--" + flag + " " + value, Remedy: remedy}
	}
	cfg := sandbox.Config{Listen: o.listen, Front: o.front, Hosts: map[string]string{}, Stubs: o.stubs, KVLag: o.kvLag, Now: a.Now}
	for _, h := range o.hosts {
		host, worker, ok := strings.Cut(h, "=")
		if !ok || host == "" || worker == "" || strings.ContainsAny(host, "/: ") {
			return cfg, usage("host", h, "write HOST=WORKER, for instance shop.example.com=gateway")
		}
		cfg.Hosts[strings.ToLower(host)] = worker
	}
	for _, s := range o.stubs {
		if slices.Contains(workers.Stubs(), s) {
			continue
		}
		remedy := "choose from: " + strings.Join(workers.Stubs(), ", ")
		if near := firedrill.Nearest(s, workers.Stubs()); near != "" {
			remedy = "did you mean " + near + "? Otherwise " + remedy
		}
		return cfg, usage("stub", s, remedy)
	}
	if o.quotas {
		if o.quotaWindow <= 0 {
			return cfg, usage("quota-window", o.quotaWindow.String(), "name a time above zero")
		}
		cfg.Quotas = api.Quotas{Window: o.quotaWindow}
	}
	if o.kvLag < 0 {
		return cfg, usage("kv-lag", o.kvLag.String(), "name a time of zero or more")
	}
	if o.secretKey != "" {
		key, err := a.secretKey(ctx, o.secretKey)
		if err != nil {
			return cfg, err
		}
		cfg.SecretKey = []byte(key)
	}
	return cfg, nil
}

// leastKey is how long a key for secrets has to be, in bytes.
const leastKey = 16

// secretKey reads the key that a reference leads to.
func (a *app) secretKey(ctx context.Context, ref string) (string, error) {
	kind, at, _ := strings.Cut(ref, ":")
	var s action.Secret
	switch kind {
	case "env":
		s.Env = at
	case "file":
		s.File = at
	}
	if at == "" || s.Env == "" && s.File == "" {
		// The value itself may have been given: it is not repeated.
		return "", &firedrill.Error{Op: "start the sandbox", Kind: firedrill.KindUsage, Target: "--secret-key", Detail: "this is no reference to a key", Remedy: "write env:NAME or file:PATH, never the key itself"}
	}
	key, err := action.SystemSecrets().Resolve(ctx, s)
	if err != nil {
		return "", err
	}
	if len(key) < leastKey {
		return "", &firedrill.Error{Op: "start the sandbox", Kind: firedrill.KindUsage, Target: s.String(), Detail: fmt.Sprintf("the key has %d bytes", len(key)),
			Remedy: fmt.Sprintf("use at least %d random bytes, for instance of: openssl rand -hex 32", leastKey)}
	}
	return key, nil
}

// loopback tells whether an address is reached from this machine only.
func loopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return ip != nil && ip.IsLoopback()
}

// openTrace makes calls of the API appear in a file, or on the terminal.
func (a *app) openTrace(path string, cfg *sandbox.Config) (end func() error, err error) {
	end = func() error { return nil }
	var out io.Writer
	switch path {
	case "":
		return end, nil
	case "-":
		out = a.Stderr
	default:
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return end, &firedrill.Error{Op: "trace the API", Kind: firedrill.KindStorage, Target: path, Err: err, Remedy: "name a file that can be written"}
		}
		out, end = f, f.Close
	}
	var mu sync.Mutex
	enc := json.NewEncoder(out)
	cfg.Trace = func(c api.Call) {
		mu.Lock()
		defer mu.Unlock()
		_ = enc.Encode(map[string]any{"time": c.Began.UTC().Format(time.RFC3339Nano), "method": c.Method, "path": c.Path, "route": c.Route, // a full disk must not stop the API
			"status": c.Status, "took_ms": float64(c.Took.Microseconds()) / 1000, "trace_id": c.TraceID})
	}
	return end, nil
}

// args gives the flags again, for the process that stays.
func (o sandboxOptions) args(dir string) []string {
	list := []string{"sandbox", "up", "--state", dir, "--listen", o.listen, "--front", o.front, "--kv-lag", o.kvLag.String()}
	for _, h := range o.hosts {
		list = append(list, "--host", h)
	}
	for _, s := range o.stubs {
		list = append(list, "--stub", s)
	}
	if o.secretKey != "" {
		list = append(list, "--secret-key", o.secretKey)
	}
	if o.quotas {
		list = append(list, "--quota-window", o.quotaWindow.String())
	}
	if o.trace != "" {
		list = append(list, "--trace", o.trace)
	}
	return list
}

func (a *app) sandboxUp(ctx context.Context, o sandboxOptions) error {
	cfg, err := a.sandboxConfig(ctx, o)
	if err != nil {
		return err
	}
	if o.detach {
		return a.sandboxDetach(ctx, o)
	}
	if cfg.StateDir, err = a.sandboxDir(o); err != nil {
		return err
	}
	live := a.live()
	b, err := a.workerd(ctx, live)
	live.Close()
	if err != nil {
		return err
	}
	level := slog.LevelWarn
	if a.global.verbose {
		level = slog.LevelDebug
	}
	started := a.Now()
	cfg.Workerd, cfg.Logs = b.Path, a.Stderr
	cfg.Log = slog.New(slog.NewTextHandler(a.Stderr, &slog.HandlerOptions{Level: level}))
	endTrace, err := a.openTrace(o.trace, &cfg)
	if err != nil {
		return err
	}
	s, err := sandbox.Start(ctx, cfg)
	if err != nil {
		return errors.Join(sandboxError(err), endTrace())
	}
	for _, addr := range []string{s.Endpoint().API, s.Endpoint().Front} {
		if !loopback(addr) {
			a.err.Line(term.Bad, "sandbox", addr+" is not a loopback address: whoever reaches it can use it")
		}
	}
	a.printEndpoint(fmt.Sprintf("ready in %s", term.Seconds(a.Now().Sub(started).Seconds())), s.Endpoint())
	<-ctx.Done()
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	return errors.Join(sandboxError(s.Close(stop)), endTrace())
}

// sandboxDetach starts this program again as a sandbox of its own and waits
// until it is ready.
func (a *app) sandboxDetach(ctx context.Context, o sandboxOptions) error {
	dir, err := a.sandboxDir(o)
	if err != nil {
		return err
	}
	if e, err := sandbox.Running(dir); err == nil {
		a.printEndpoint("runs already", e)
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return &firedrill.Error{Op: "start the sandbox", Kind: firedrill.KindStorage, Target: dir, Err: err, Remedy: "name a folder that can be written: --state DIR"}
	}
	self, err := os.Executable()
	if err != nil {
		return &firedrill.Error{Op: "start the sandbox", Kind: firedrill.KindInternal, Err: err}
	}
	logPath := filepath.Join(dir, "sandbox.log")
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return &firedrill.Error{Op: "start the sandbox", Kind: firedrill.KindStorage, Target: logPath, Err: err, Remedy: "free the folder"}
	}
	defer log.Close() //nolint:errcheck // the child holds its own
	from, err := log.Seek(0, 2)
	if err != nil {
		return &firedrill.Error{Op: "start the sandbox", Kind: firedrill.KindStorage, Target: logPath, Err: err}
	}
	// The sandbox outlives this command, so it gets no context of it.
	cmd := exec.Command(self, o.args(dir)...) //nolint:noctx // see above
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return &firedrill.Error{Op: "start the sandbox", Kind: firedrill.KindInternal, Target: self, Err: err}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // how it ended stands in its log
	}()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ended: // how it ended stands in its log
			return a.detachFailed(logPath, from)
		case <-ctx.Done():
			return errors.Join(&firedrill.Error{Op: "start the sandbox", Kind: firedrill.KindInterrupted, Detail: "interrupted while it started"}, cmd.Process.Signal(syscall.SIGTERM))
		case <-tick.C:
			if e, err := sandbox.Running(dir); err == nil && e.PID == cmd.Process.Pid {
				a.printEndpoint("ready", e)
				return nil
			}
		}
	}
}

// detachFailed shows what the process that did not start said.
func (a *app) detachFailed(logPath string, from int64) error {
	data, err := os.ReadFile(logPath)
	if err == nil && int64(len(data)) > from {
		if _, err := a.Stderr.Write(data[from:]); err != nil {
			return err
		}
	}
	return exitStatus(firedrill.ExitOperational)
}
