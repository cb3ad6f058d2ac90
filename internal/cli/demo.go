package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/examples/foundation"
	"firedrill/internal/action"
	"firedrill/internal/action/cloudflare"
	"firedrill/internal/cli/term"
	"firedrill/internal/plan"
	"firedrill/internal/sandbox"
)

// demoOptions are the flags of `demo`.
type demoOptions struct {
	api, front string
	keep       bool
}

func (a *app) demoCommand() *cobra.Command {
	var o demoOptions
	c := &cobra.Command{
		Use: "demo", Short: "Three real drills on a local staging cloud",
		Long: `Demo starts a sandbox, deploys examples/foundation (two Workers, a database and
a KV namespace), runs its drills, and prints the result. Everything happens on
this machine, and nothing is left but the records in the state folder.`,
		Example: `  firedrill demo
  firedrill demo --keep          leave sandbox, app and plan to play with`,
		Args: args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error { return a.demo(c.Context(), o) },
	}
	c.Flags().StringVar(&o.api, "api", "", "`URL` of the API of a sandbox that already runs; its token in CLOUDFLARE_API_TOKEN")
	c.Flags().StringVar(&o.front, "front", "", "`URL` of that sandbox's Workers")
	c.Flags().BoolVar(&o.keep, "keep", false, "leave sandbox, app and plan in the state folder")
	c.MarkFlagsRequiredTogether("api", "front")
	return c
}

// stage is where a demo plays.
type stage struct {
	api, front, token string
	workerd           string // version; "" where it is not known
	stop              func() error
}

func (a *app) demo(ctx context.Context, o demoOptions) (err error) {
	home, err := a.homeDir()
	if err != nil {
		return err
	}
	live := a.live()
	closed := false
	closeLive := func() {
		if !closed {
			closed = true
			live.Close()
		}
	}
	defer closeLive()
	st, err := a.stage(ctx, o, home, live)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.stop()) }()
	p, secrets, err := a.demoPlan(home, o, st)
	if err != nil {
		return err
	}
	if err := a.demoDeploy(ctx, live, p, secrets); err != nil {
		return err
	}
	live.Line(term.Plain, "", "")
	s, err := a.openLocal(ctx, p.Environments, secrets, live)
	if err != nil {
		return err
	}
	defer func() { err = s.close(err) }()
	s.workerd = st.workerd
	var programs []firedrill.Program
	for _, d := range p.Drills {
		prog, err := plan.Program(p, d.Name, "", s.registry, s.library)
		if err != nil {
			return err
		}
		programs = append(programs, *prog)
	}
	results, err := a.drill(ctx, s, live, programs)
	closeLive()
	a.score = a.scoreNow(ctx, s, p)
	err = a.conclude(ctx, results, err)
	if o.keep && !a.global.json {
		a.out.Text(fmt.Sprintf("Kept: firedrill sandbox up --detach · eval \"$(firedrill sandbox env)\" · firedrill --plan %s run --all", p.File))
	}
	return err
}

// stage gives the sandbox that runs already, or starts one of its own. What it
// starts is gone when the demo is over, unless it is to be kept.
func (a *app) stage(ctx context.Context, o demoOptions, home string, live *term.Live) (*stage, error) {
	if o.api != "" {
		token := a.Getenv("CLOUDFLARE_API_TOKEN")
		if token == "" {
			return nil, usage("the token of the sandbox is not known", `eval "$(firedrill sandbox env)"`)
		}
		return &stage{strings.TrimRight(o.api, "/"), strings.TrimRight(o.front, "/"), token, "", func() error { return nil }}, nil
	}
	b, err := a.workerd(ctx, live)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(home, "sandbox")
	if !o.keep {
		if err := os.MkdirAll(home, 0o700); err != nil {
			return nil, &firedrill.Error{Op: "demo", Kind: firedrill.KindStorage, Target: home, Err: err, Remedy: "name a folder that can be written: --home DIR"}
		}
		if dir, err = os.MkdirTemp(home, "demo-"); err != nil {
			return nil, &firedrill.Error{Op: "demo", Kind: firedrill.KindStorage, Target: home, Err: err, Remedy: "name a folder that can be written: --home DIR"}
		}
	}
	started := a.Now()
	_, end := live.Begin("sandbox", "starting")
	s, err := sandbox.Start(ctx, sandbox.Config{StateDir: dir, Listen: freeOr(sandbox.DefaultListen), Front: freeOr(sandbox.DefaultFront), Workerd: b.Path,
		Now: a.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		end(term.Bad, "")
		if !o.keep {
			err = errors.Join(sandboxError(err), os.RemoveAll(dir))
		}
		return nil, sandboxError(err)
	}
	e := s.Endpoint()
	end(term.Plain, fmt.Sprintf("ready in %s   API %s   Workers %s", term.Seconds(a.Now().Sub(started).Seconds()), hostOf(e.API), hostOf(e.Front)))
	return &stage{e.API, e.Front, e.Token, b.Version, func() error {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
		defer cancel()
		err := sandboxError(s.Close(stop))
		if !o.keep {
			err = errors.Join(err, os.RemoveAll(dir))
		}
		return err
	}}, nil
}

func hostOf(url string) string {
	host, _, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	return host
}

// freeOr gives an address if it is free, else any port: a demo must not fail
// because a sandbox runs beside it.
func freeOr(addr string) string {
	l, err := net.Listen("tcp", addr) //nolint:noctx // it only looks
	if err != nil {
		return "127.0.0.1:0"
	}
	if err := l.Close(); err != nil {
		return "127.0.0.1:0"
	}
	return addr
}

// demoPlan is the example's own plan with the addresses of the stage.
func (a *app) demoPlan(home string, o demoOptions, st *stage) (*firedrill.Plan, action.Secrets, error) {
	data, err := fs.ReadFile(foundation.Files, planName)
	if err != nil {
		return nil, action.Secrets{}, &firedrill.Error{Op: "demo", Kind: firedrill.KindInternal, Err: err}
	}
	_, port, _ := net.SplitHostPort(hostOf(st.front))
	text := strings.NewReplacer("http://"+sandbox.DefaultListen+"/client/v4", st.api, ".localhost:8788", ".localhost:"+port).Replace(string(data))
	secrets := action.SystemSecrets()
	lookup := secrets.LookupEnv
	secrets.LookupEnv = func(name string) (string, bool) {
		if name == "CLOUDFLARE_API_TOKEN" {
			return st.token, true
		}
		return lookup(name)
	}
	file := "examples/foundation/" + planName
	if o.keep {
		file = filepath.Join(home, "demo", planName)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return nil, secrets, &firedrill.Error{Op: "demo", Kind: firedrill.KindStorage, Target: file, Err: err}
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return nil, secrets, &firedrill.Error{Op: "demo", Kind: firedrill.KindStorage, Target: file, Err: err}
		}
	}
	c, err := a.plain()
	if err != nil {
		return nil, secrets, err
	}
	p, err := plan.Parse(file, []byte(text), c.registry, c.library)
	return p, secrets, err
}

// demoDeploy puts the example in place and says what stands there.
func (a *app) demoDeploy(ctx context.Context, live *term.Live, p *firedrill.Plan, secrets action.Secrets) error {
	_, end := live.Begin("examples/foundation", "deploying")
	env := p.Environments["sandbox"]
	var s cloudflare.Settings
	if err := env.Settings.Into(&s); err != nil {
		end(term.Bad, "")
		return &firedrill.Error{Op: "demo", Kind: firedrill.KindInternal, Err: err}
	}
	c, err := cloudflare.New(cloudflare.Config{API: s.API, Account: s.Account, HTTP: &http.Client{Timeout: time.Minute}, Now: a.Now,
		Token: func(ctx context.Context) (string, error) { return secrets.Resolve(ctx, s.Token) }})
	if err != nil {
		end(term.Bad, "")
		return err
	}
	d, err := deploy(ctx, c, foundation.Files)
	if err != nil {
		end(term.Bad, "")
		return err
	}
	end(term.Plain, fmt.Sprintf("%s, %s, %s deployed", term.Plural(int64(d.workers), "Worker"), term.Plural(int64(d.databases), "database"), term.Plural(int64(d.namespaces), "KV namespace")))
	return nil
}
