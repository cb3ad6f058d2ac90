package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"firedrill"
	"firedrill/bench/peak"
	"firedrill/internal/action"
	"firedrill/internal/action/cloudflare"
	"firedrill/internal/sandbox"
)

// childFlag marks a process that performs one action and says how long it took
// and how much memory it had. The sandbox is in the parent.
const childFlag = "-child"

// task is what a child does.
type task struct {
	API, Account, Token string
	Dir                 string // the run's folder
	Step, Action        string // action "read" is the bare client
	Inputs              firedrill.Values
}

// report is what it says.
type report struct {
	Seconds, MiB float64
	Summary      string
	Outputs      firedrill.Values
}

func child(ctx context.Context, args []string) error {
	var t task
	if err := json.Unmarshal([]byte(args[0]), &t); err != nil {
		return err
	}
	var r report
	began := time.Now()
	var err error
	if t.Action == "read" {
		err = read(ctx, t)
	} else {
		err = perform(ctx, t, &r)
	}
	if err != nil {
		return err
	}
	r.Seconds = time.Since(began).Seconds()
	if r.MiB, err = peak.MiB(0); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

func perform(ctx context.Context, t task, r *report) error {
	pack := cloudflare.Pack(cloudflare.Deps{Secrets: action.Secrets{LookupEnv: func(string) (string, bool) { return t.Token, true }}})
	for _, a := range pack.Actions {
		if a.Spec().Name != t.Action {
			continue
		}
		out, err := a.Do(ctx, firedrill.Call{Run: "bench", Step: t.Step, Op: "bench", Attempt: 1, Inputs: t.Inputs, Dir: t.Dir,
			Progress: func(firedrill.Progress) {}, Now: func() firedrill.Stamp { return firedrill.Stamp{Wall: time.Now()} },
			Environment: firedrill.Environment{Name: "bench", Class: firedrill.ClassCI, Settings: firedrill.Values{
				"api": t.API, "account": t.Account, "token": map[string]any{"env": "TOKEN"}}}})
		r.Summary, r.Outputs = out.Summary, out.Outputs
		return err
	}
	return fmt.Errorf("action %s does not exist", t.Action)
}

// apart runs tasks in processes of their own.
type apart struct {
	dir      string
	endpoint sandbox.Endpoint
	database string
	rows     int
	base     float64
}

func (b *apart) run(ctx context.Context, what, step, name string, in firedrill.Values) (report, error) {
	in["database"] = b.database
	data, err := json.Marshal(task{b.endpoint.API, b.endpoint.Account, b.endpoint.Token, filepath.Join(b.dir, "run"), step, name, in})
	if err != nil {
		return report{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return report{}, err
	}
	cmd := exec.CommandContext(ctx, self, childFlag, string(data))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return report{}, fmt.Errorf("%s: %w", what, err)
	}
	var r report
	if err := json.Unmarshal(out, &r); err != nil {
		return report{}, err
	}
	if name == "d1.fingerprint" && b.base == 0 {
		b.base = r.Seconds
	}
	factor := ""
	if b.base > 0 {
		factor = fmt.Sprintf("%8.2f", r.Seconds/b.base)
	}
	fmt.Printf("%-44s %10.2f %10.0f %10.0f %8s  %s\n", what, r.Seconds, float64(b.rows)/r.Seconds, r.MiB, factor, r.Summary)
	return r, nil
}

func (b *apart) all(ctx context.Context, db *cloudflare.D1) error {
	if _, err := b.run(ctx, "a bare client, answers dropped", "read", "read", firedrill.Values{}); err != nil {
		return err
	}
	print, err := b.run(ctx, "fingerprint", "cut", "d1.fingerprint", firedrill.Values{})
	if err != nil {
		return err
	}
	against := firedrill.Values{"against": print.Outputs["file"]}
	same, err := b.run(ctx, "compare, nothing changed", "same", "d1.compare", against)
	if err != nil {
		return err
	}
	if same.Outputs["equal"] != true {
		return fmt.Errorf("the database differs from itself: %s", same.Summary)
	}
	for _, s := range []string{"UPDATE events SET body='changed' WHERE id=17", fmt.Sprintf("UPDATE events SET amount=0 WHERE id=%d", b.rows/2), fmt.Sprintf("DELETE FROM events WHERE id=%d", b.rows-3)} {
		if err := db.Exec(ctx, s); err != nil {
			return err
		}
	}
	differs, err := b.run(ctx, "compare, three rows changed", "differs", "d1.compare", against)
	if err != nil {
		return err
	}
	if fmt.Sprint(differs.Outputs["differing_rows"]) != "3" {
		return fmt.Errorf("%v rows differ, not 3", differs.Outputs["differing_rows"])
	}
	quick, err := b.run(ctx, "fingerprint, level quick", "quick", "d1.fingerprint", firedrill.Values{"level": "quick"})
	if err != nil {
		return err
	}
	_, err = b.run(ctx, "compare, level quick", "again", "d1.compare", firedrill.Values{"against": quick.Outputs["file"]})
	return err
}
