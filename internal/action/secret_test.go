package action

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"firedrill"
)

const secretValue = "hunter2-canary"

func TestSecretsComeFromOnePlace(t *testing.T) {
	t.Setenv("FIREDRILL_TEST_SECRET", secretValue)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("  "+secretValue+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]Secret{
		"env":     {Env: "FIREDRILL_TEST_SECRET"},
		"file":    {File: file},
		"command": {Command: []string{"echo", secretValue}},
	} {
		got, err := SystemSecrets().Resolve(context.Background(), s)
		if err != nil || got != secretValue {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// TestSecretsThatCannotBeRead also looks that no error holds a value, and that
// a command is a list of arguments and no shell's text.
func TestSecretsThatCannotBeRead(t *testing.T) {
	t.Setenv("FIREDRILL_TEST_EMPTY", " ")
	t.Setenv("FIREDRILL_TEST_LINES", secretValue+"\nsecond")
	touched := filepath.Join(t.TempDir(), "touched")
	for name, try := range map[string]struct {
		s    Secret
		kind firedrill.Kind
	}{
		"nowhere":            {Secret{}, firedrill.KindUsage},
		"two places":         {Secret{Env: "A", File: "b"}, firedrill.KindUsage},
		"not set":            {Secret{Env: "FIREDRILL_TEST_NOT_SET"}, firedrill.KindDenied},
		"empty":              {Secret{Env: "FIREDRILL_TEST_EMPTY"}, firedrill.KindDenied},
		"two lines":          {Secret{Env: "FIREDRILL_TEST_LINES"}, firedrill.KindDenied},
		"no file":            {Secret{File: filepath.Join(t.TempDir(), "none")}, firedrill.KindDenied},
		"no program":         {Secret{Command: []string{"firedrill-no-such-program"}}, firedrill.KindDenied},
		"a shell's text":     {Secret{Command: []string{"echo x; touch " + touched}}, firedrill.KindDenied},
		"fails after output": {Secret{Command: []string{"sh", "-c", "echo " + secretValue + "; echo " + secretValue + " >&2; exit 3"}}, firedrill.KindDenied},
	} {
		got, err := SystemSecrets().Resolve(context.Background(), try.s)
		if got != "" || firedrill.KindOf(err) != try.kind || firedrill.RemedyOf(err) == "" {
			t.Errorf("%s: %q, %v of kind %q, want %q", name, got, err, firedrill.KindOf(err), try.kind)
		}
		if strings.Contains(firedrill.ProblemOf(err).Detail, secretValue) {
			t.Errorf("%s: the error holds the value", name)
		}
		if name == "fails after output" && !strings.Contains(err.Error(), "exit status 3") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat(touched); err == nil {
		t.Error("a shell ran")
	}
}

func TestHeadersOfProbes(t *testing.T) {
	t.Parallel()
	secrets := Secrets{LookupEnv: func(n string) (string, bool) { return "value of " + n, true }}
	p := Probe{Path: "/x", Method: "POST", Headers: firedrill.Values{"A": "plain", "B": map[string]any{"env": "B_TOKEN"}}}
	got, err := p.ResolveHeaders(context.Background(), secrets)
	if err != nil || got["A"] != "plain" || got["B"] != "value of B_TOKEN" {
		t.Errorf("got %v, %v", got, err)
	}
	if p.Name() != "POST /x" || (Probe{Path: "/y", Method: "GET"}).Name() != "/y" {
		t.Error("names of probes")
	}
	for name, v := range map[string]any{"a number": int64(3), "an unknown key": map[string]any{"envv": "X"}, "null": nil} {
		p.Headers = firedrill.Values{"A": v}
		if _, err := p.ResolveHeaders(context.Background(), secrets); firedrill.KindOf(err) != firedrill.KindUsage {
			t.Errorf("%s: %v", name, err)
		}
	}
}
