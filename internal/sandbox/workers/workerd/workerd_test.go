package workerd_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"firedrill/internal/sandbox/workers/workerd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// supervisor runs the real workerd in a short folder.
func supervisor(t testing.TB) *workerd.Supervisor {
	t.Helper()
	bin, err := workerd.Locate(t.Context(), workerd.Locator{})
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "fd-")
	if err != nil {
		t.Fatal(err)
	}
	s, err := workerd.NewSupervisor(workerd.Options{Binary: bin.Path, RunDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		left, err := os.ReadDir(dir)
		if err != nil || len(left) > 0 {
			t.Errorf("left in the run folder: %v %v", left, err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return s
}

func worker(source string, bindings ...workerd.Binding) workerd.Config {
	return workerd.Config{Services: []workerd.Service{{Name: "main", Worker: &workerd.Worker{
		Modules:           []workerd.Module{{Name: "w.js", Kind: workerd.ESModule, Body: []byte(source)}},
		CompatibilityDate: "2026-04-01", Bindings: bindings,
	}}}}
}

// ask sends one request to a socket.
func ask(t testing.TB, socket string) string {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	resp, err := (&http.Client{Transport: tr}).Get("http://w/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// Any text survives the way through the configuration into a Worker: as a
// variable, as a module, in names; and cannot break out of its quotes.
func TestEveryTextArrivesInTheWorker(t *testing.T) {
	t.Parallel()
	s := supervisor(t)
	var texts []string
	for c := range 0x180 { // every ASCII character, and some of two bytes
		texts = append(texts, "a"+string(rune(c))+"b")
	}
	texts = append(texts, "", `")]), evil = (`, "\\", `\"`, "\\x41", "line\r\nline", "\u2028\u2029", "😀", strings.Repeat("long ", 10_000))
	gen := rapid.SliceOfN(rapid.String(), 40, 40)
	texts = append(texts, gen.Example(1)...)
	texts = append(texts, gen.Example(2)...)

	var bindings []workerd.Binding
	modules := []workerd.Module{{Name: "w.js", Kind: workerd.ESModule}}
	source := "const mods = {};\n"
	for i, text := range texts {
		bindings = append(bindings, workerd.Binding{Name: fmt.Sprintf("T%d", i), Text: &texts[i]})
		modules = append(modules,
			workerd.Module{Name: fmt.Sprintf("m%d.txt", i), Kind: workerd.TextModule, Body: []byte(text)},
			workerd.Module{Name: fmt.Sprintf("d%d.bin", i), Kind: workerd.DataModule, Body: []byte(text)})
		source += fmt.Sprintf("import m%d from './m%d.txt'; import d%d from './d%d.bin'; mods[%d] = [m%d, new TextDecoder('utf-8', {ignoreBOM: true}).decode(d%d)];\n", i, i, i, i, i, i, i)
	}
	modules[0].Body = []byte(source + `export default { fetch(_, env) { return Response.json(Object.keys(mods).map(i => [env["T" + i], ...mods[i]])); } };`)
	cfg := worker("", bindings...)
	cfg.Services[0].Worker.Modules = modules
	p, err := s.Start(t.Context(), workerd.Start{Config: cfg, Expose: []string{"main"}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	var got [][3]string
	if err := json.Unmarshal([]byte(ask(t, p.Sockets()["main"])), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(texts) {
		t.Fatalf("%d of %d texts came back", len(got), len(texts))
	}
	for i, want := range texts {
		for j, from := range []string{"variable", "text module", "data module"} {
			if got[i][j] != want {
				t.Errorf("%.40q came back from the %s as %.40q", want, from, got[i][j])
			}
		}
	}
}

// A literal ends where it should, whatever is in it.
func FuzzConfigText(f *testing.F) {
	f.Add("plain", "x")
	f.Add("\" ), (", "\\")
	f.Fuzz(func(t *testing.T, name, value string) {
		text := string(workerd.Config{Services: []workerd.Service{{Name: name, External: &workerd.External{Address: value}}}}.Text())
		// Read it back as a reader of the grammar would: outside of literals only
		// the fixed text may stand.
		var outside strings.Builder
		for i := 0; i < len(text); i++ {
			if text[i] != '"' {
				if text[i] < 0x20 && text[i] != '\n' || text[i] >= 0x7f {
					t.Fatalf("byte %#x outside of a literal in %q", text[i], text)
				}
				outside.WriteByte(text[i])
				continue
			}
			for i++; text[i] != '"'; i++ {
				if text[i] < 0x20 {
					t.Fatalf("bare control character in a literal of %q", text)
				}
				if text[i] == '\\' {
					i++
				}
			}
			outside.WriteString("L")
		}
		const want = "using Workerd = import L;\nconst config :Workerd.Config = (\n  services = [\n    (name = L, external = (address = L, http = (injectRequestHeaders = []))),\n  ],\n  sockets = [\n  ],\n);\n"
		if outside.String() != want {
			t.Fatalf("structure %q", outside.String())
		}
	})
}

func TestARefusedStartTellsWhyAndLeavesNothing(t *testing.T) {
	t.Parallel()
	s := supervisor(t)
	_, err := s.Start(t.Context(), workerd.Start{Config: worker("throw new Error('boom')"), Expose: []string{"main"}})
	var se *workerd.StartError
	if !errors.As(err, &se) || len(se.Lines) == 0 || se.Lines[0] != "service main: Uncaught Error: boom" {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err = s.Start(ctx, workerd.Start{Config: worker("for (;;) {}"), Expose: []string{"main"}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("endless global code: %v", err)
	}
}

func TestOutputStreamsAndDeath(t *testing.T) {
	t.Parallel()
	s := supervisor(t)
	var mu sync.Mutex
	lines := map[workerd.Stream]string{}
	p, err := s.Start(t.Context(), workerd.Start{
		Config: worker(`export default { fetch() { console.log("to out"); console.error("to err"); if (0) throw 1; return new Response("x"); } };`),
		Expose: []string{"main"},
		Output: func(st workerd.Stream, line string) {
			mu.Lock()
			defer mu.Unlock()
			lines[st] += line + "\n"
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ask(t, p.Sockets()["main"])
	p.Stop()
	mu.Lock()
	defer mu.Unlock()
	if lines[workerd.Stdout] != "to out\n" || !strings.Contains(lines[workerd.Stderr], "to err\n") {
		t.Errorf("%q", lines)
	}
	select {
	case <-p.Done():
	default:
		t.Error("a stopped process is not done")
	}
	if p.Err() != nil {
		t.Errorf("a stopped process ended with %v", p.Err())
	}
}

func TestALongRunFolderIsRefused(t *testing.T) {
	t.Parallel()
	_, err := workerd.NewSupervisor(workerd.Options{Binary: "/bin/true", RunDir: "/" + strings.Repeat("x", 90)})
	if err == nil || !strings.Contains(err.Error(), "choose a shorter folder") {
		t.Error(err)
	}
}

// fakeBinary is a program that calls itself workerd: a copy of a real ELF is
// needed, because a script is refused, so this builds one.
func fakeBinary(t *testing.T) (program []byte) {
	t.Helper()
	dir := t.TempDir()
	src := filepath.Join(dir, "main.go")
	if err := os.WriteFile(src, []byte("package main\nfunc main() { println(); print(\"\"); _, _ = out.WriteString(\"workerd 2026-01-02\\n\") }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "out.go"), []byte("package main\nimport \"os\"\nvar out = os.Stdout\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "workerd")
	if out, err := exec.Command("go", "build", "-o", bin, src, filepath.Join(dir, "out.go")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	program, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// fakeNPM is an npm whose "pack" delivers the given program.
func fakeNPM(t *testing.T, program []byte) string {
	t.Helper()
	var tgz bytes.Buffer
	gz := gzip.NewWriter(&tgz)
	tw := tar.NewWriter(gz)
	for name, data := range map[string][]byte{"package/package.json": []byte("{}"), "package/bin/workerd": program} {
		if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(data)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tw.Close(), gz.Close()); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "pkg.tgz"), tgz.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	npm := filepath.Join(dir, "npm")
	if err := os.WriteFile(npm, []byte("#!/bin/sh\nwhile [ $# -gt 1 ]; do [ \"$1\" = --pack-destination ] && to=$2; shift; done\ncp '"+dir+"/pkg.tgz' \"$to/\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return npm
}

func TestLocateFindsFetchesAndChecks(t *testing.T) {
	t.Parallel()
	program := fakeBinary(t)
	sum := sha256.Sum256(program)
	pin := &workerd.Pin{Package: "@x/workerd", Version: "1.0.0", SHA256: hex.EncodeToString(sum[:])}
	nothing := func(string) (string, error) { return "", exec.ErrNotFound }
	base := func(t *testing.T) workerd.Locator {
		return workerd.Locator{Getenv: func(string) string { return "" }, LookPath: nothing, Dir: t.TempDir(), CacheDir: t.TempDir(), Pin: pin}
	}
	place := func(t *testing.T, path string) string {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, program, 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	want := func(t *testing.T, l workerd.Locator, source workerd.Source) {
		t.Helper()
		b, err := workerd.Locate(t.Context(), l)
		if err != nil || b.Source != source || b.Version != "2026-01-02" {
			t.Errorf("%+v, %v, want source %s", b, err, source)
		}
	}
	t.Run("nothing and no npm", func(t *testing.T) {
		_, err := workerd.Locate(t.Context(), base(t))
		if err == nil || !strings.Contains(err.Error(), "install Node.js with npm, or set FIREDRILL_WORKERD") {
			t.Error(err)
		}
	})
	t.Run("no build for the platform", func(t *testing.T) {
		l := base(t)
		l.Pin, l.Platform = nil, "plan9/386"
		if _, err := workerd.Locate(t.Context(), l); err == nil || !strings.Contains(err.Error(), "no build for plan9/386") {
			t.Error(err)
		}
	})
	t.Run("named", func(t *testing.T) {
		path := place(t, filepath.Join(t.TempDir(), "mine"))
		l := base(t)
		l.Getenv = func(string) string { return path }
		want(t, l, workerd.FromUser)
		l.Getenv = func(string) string { return path + "-gone" }
		if _, err := workerd.Locate(t.Context(), l); err == nil || !strings.Contains(err.Error(), "FIREDRILL_WORKERD names") {
			t.Error(err)
		}
	})
	t.Run("path", func(t *testing.T) {
		path := place(t, filepath.Join(t.TempDir(), "workerd"))
		l := base(t)
		l.LookPath = func(string) (string, error) { return path, nil }
		want(t, l, workerd.FromPath)
	})
	t.Run("node_modules upward", func(t *testing.T) {
		l := base(t)
		place(t, filepath.Join(l.Dir, "node_modules", "@x", "workerd", "bin", "workerd"))
		l.Dir = filepath.Join(l.Dir, "a", "b")
		want(t, l, workerd.FromNodeModules)
	})
	t.Run("fetched, cached, damaged", func(t *testing.T) {
		l := base(t)
		l.NPM = fakeNPM(t, program)
		var said []string
		l.Progress = func(s string) { said = append(said, s) }
		want(t, l, workerd.FromNPM)
		if len(said) == 0 || !strings.Contains(said[0], "@x/workerd@1.0.0") {
			t.Errorf("progress: %q", said)
		}
		want(t, l, workerd.FromCache)
		path := filepath.Join(l.CacheDir, "firedrill", "workerd", "1.0.0", "workerd")
		if err := os.WriteFile(path, []byte("damaged"), 0o700); err != nil {
			t.Fatal(err)
		}
		want(t, l, workerd.FromNPM)
		left, err := os.ReadDir(filepath.Dir(path))
		if err != nil || len(left) != 2 || left[1].Name() != "workerd.checked" {
			t.Errorf("left beside the binary: %v %v", left, err)
		}
		want(t, l, workerd.FromCache)
	})
	t.Run("wrong checksum", func(t *testing.T) {
		l := base(t)
		l.NPM = fakeNPM(t, append([]byte(nil), append(program, 0)...))
		if _, err := workerd.Locate(t.Context(), l); err == nil || !strings.Contains(err.Error(), "checksum") {
			t.Error(err)
		}
		if _, err := l.Find(t.Context()); !errors.Is(err, workerd.ErrNotFound) {
			t.Errorf("after a refused fetch: %v", err)
		}
	})
	t.Run("npm fails", func(t *testing.T) {
		l := base(t)
		l.NPM = "/bin/false"
		if _, err := workerd.Locate(t.Context(), l); err == nil || !strings.Contains(err.Error(), "check the network") {
			t.Error(err)
		}
	})
	t.Run("in parallel", func(t *testing.T) {
		l := base(t)
		l.NPM = fakeNPM(t, program)
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				if b, err := workerd.Locate(t.Context(), l); err != nil || b.Version != "2026-01-02" {
					t.Errorf("%+v %v", b, err)
				}
			})
		}
		wg.Wait()
	})
}
