package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"firedrill/internal/testkit/s3test"
)

// moment is when a child is killed.
type moment struct {
	request int // of the API or of the bucket's store, whichever the test counts; 0: none
	step    int // of the place; 0: none
	after   bool
}

func (m moment) String() string {
	when := "before"
	if m.after {
		when = "after"
	}
	if m.step > 0 {
		return fmt.Sprintf("%s step %d of the place", when, m.step)
	}
	return fmt.Sprintf("%s request %d", when, m.request)
}

// moments are all of so many requests and steps, or a sample by a seed. The last of
// each are always among them: there things are made final.
func moments(t *testing.T, requests, steps, sample int) []moment {
	t.Helper()
	var all []moment
	for _, after := range []bool{false, true} {
		for n := 1; n <= requests; n++ {
			all = append(all, moment{request: n, after: after})
		}
		for n := 1; n <= steps; n++ {
			all = append(all, moment{step: n, after: after})
		}
	}
	seed := rand.Uint64()
	rand.New(rand.NewPCG(seed, 0)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] }) // not for secrets
	total := len(all)
	if !soak() {
		all = all[:min(sample, total)]
		for _, after := range []bool{false, true} {
			for last := range 3 {
				if steps > 0 {
					all = append(all, moment{step: steps - last, after: after})
				}
			}
		}
	}
	t.Logf("%d of %d moments, seed %d", len(all), total, seed)
	return all
}

// execute runs an order, and kills the child at a moment, of whose requests g is
// told.
func execute(t *testing.T, g *gallows, o order, m moment) *process {
	t.Helper()
	o.Kill, o.After = m.step, m.after
	child := command(t, o)
	g.use(child, m.request, m.after)
	child.run(t)
	g.use(nil, 0, false)
	return child
}

// finish gives the same order again until it ends well.
func finish(t *testing.T, o order, what any) {
	t.Helper()
	child := command(t, o)
	child.run(t)
	if child.err != nil {
		t.Fatalf("%s: the same command again: %v\n%s", what, child.err, &child.output)
	}
}

// stepsOf counts the steps that an order takes at its place: it is killed at none.
func stepsOf(t *testing.T, o order) int {
	t.Helper()
	place, end, err := o.Place.open()
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	k := &killing{Place: place}
	if err := o.Target.backUp(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	return k.n
}

// TestABackupThatIsKilledAnywhereIsGoneOnWith kills a real process at requests of
// the API and at steps of the folder, and gives the same command again.
func TestABackupThatIsKilledAnywhereIsGoneOnWith(t *testing.T) {
	t.Parallel()
	c, want := start(t), content()
	id := c.filled("cache", want)
	g := newGallows(t, c.API)
	steps := stepsOf(t, order{Target: c.target(g.URL, id), Place: location{Folder: folder(t)}})
	requests := g.use(nil, 0, false)
	root := t.TempDir()
	killed := 0
	for i, m := range moments(t, requests, steps, 6) {
		o := order{Do: "backup", Target: c.target(g.URL, id), Place: location{Folder: filepath.Join(root, fmt.Sprint(i))}}
		place, _, _ := o.Place.open() // a folder never fails
		child := execute(t, g, o, m)
		if !child.killed(t) {
			t.Fatalf("%s: it was not killed: %v\n%s", m, child.err, &child.output)
		}
		killed++
		// At the very end there is a manifest; then it is of the whole.
		if err := halfWritten(t.Context(), place); err != nil && !strings.Contains(err.Error(), "says: <nil>") {
			t.Fatalf("%s: %v", m, err)
		}
		if ended(t, o.Place) {
			if m.step != steps {
				t.Fatalf("%s: it says that it has ended", m)
			}
		} else {
			finish(t, o, m)
		}
		if err := complete(t.Context(), place, want); err != nil {
			t.Fatalf("%s: %v", m, err)
		}
	}
	if d := differ(want, c.look(id)); d != "" {
		t.Errorf("backups changed the namespace: %s", d)
	}
	t.Logf("killed %d times: %d requests, %d steps", killed, requests, steps)
}

// ended tells whether a backup has a manifest and no note of progress: then it is
// complete, and the same command says so instead of beginning again.
func ended(t *testing.T, l location) bool {
	t.Helper()
	place, end, err := l.open()
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	names, err := place.Names(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(names, " ")
	return strings.Contains(all, "manifest.json") && !strings.Contains(all, "progress.json")
}

// TestARestoreThatIsKilledAnywhereIsGoneOnWith kills a real process at requests of
// an exact restore over a damaged namespace.
func TestARestoreThatIsKilledAnywhereIsGoneOnWith(t *testing.T) {
	t.Parallel()
	c, want := start(t), content()
	id := c.filled("cache", want)
	o := order{Do: "restore", Target: c.target(c.API, id), Place: location{Folder: folder(t)}, Journal: filepath.Join(t.TempDir(), "journal")}
	stepsOf(t, o) // writes the backup
	place, _, _ := o.Place.open()
	g := newGallows(t, c.API)
	o.Target.API = g.URL
	c.damage(id, want)
	if _, err := o.Target.restore(t.Context(), place, o.Journal); err != nil {
		t.Fatal(err)
	}
	requests := g.use(nil, 0, false)
	killed, noted := 0, 0
	for _, m := range moments(t, requests, 0, 6) {
		c.damage(id, want)
		child := execute(t, g, o, m)
		if !child.killed(t) {
			t.Fatalf("%s: it was not killed: %v\n%s", m, child.err, &child.output)
		}
		killed++
		if _, err := os.Stat(o.Journal); err == nil {
			noted++
		}
		finish(t, o, m)
		if d := differ(want, c.look(id)); d != "" {
			t.Fatalf("%s: %s", m, d)
		}
		if err := complete(t.Context(), place, want); err != nil {
			t.Fatalf("%s: the backup: %v", m, err)
		}
	}
	t.Logf("killed %d times at %d requests, %d of them with a journal", killed, requests, noted)
}

// TestABackupIntoABucketThatIsKilledAnywhereIsGoneOnWith kills a real process at
// requests of the bucket's store, and at steps of the place.
func TestABackupIntoABucketThatIsKilledAnywhereIsGoneOnWith(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	c, want := start(t), content()
	id := c.filled("cache", want)
	name := s.Bucket("killed")
	g := newGallows(t, s.Endpoint)
	keys := map[string]string{}
	for _, k := range []string{"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		keys[k] = s.Getenv(k)
	}
	o := order{Do: "backup", Target: c.target(c.API, id)}
	at := func(prefix, endpoint string) location {
		return location{Bucket: "s3://" + name + "/" + prefix, Endpoint: endpoint, Keys: keys}
	}
	o.Place = at("count", g.URL)
	steps := stepsOf(t, o)
	requests := g.use(nil, 0, false)
	killed := 0
	for i, m := range moments(t, requests, steps, 4) {
		prefix := fmt.Sprint("run-", i)
		o.Place = at(prefix, g.URL)
		direct, end, err := at(prefix, s.Endpoint).open()
		if err != nil {
			t.Fatal(err)
		}
		child := execute(t, g, o, m)
		if !child.killed(t) {
			t.Fatalf("%s: it was not killed: %v\n%s", m, child.err, &child.output)
		}
		killed++
		if err := halfWritten(t.Context(), direct); err != nil && !strings.Contains(err.Error(), "says: <nil>") {
			t.Fatalf("%s: %v", m, err)
		}
		if !ended(t, at(prefix, s.Endpoint)) {
			finish(t, o, m)
		}
		if err := complete(t.Context(), direct, want); err != nil {
			t.Fatalf("%s: %v", m, err)
		}
		end()
	}
	t.Logf("killed %d times: %d requests, %d steps", killed, requests, steps)
}

// TestTheCommandsThemselvesAreKilled does the same with the real command line, as
// people give it: `backup kv`, then `restore --mode exact`.
func TestTheCommandsThemselvesAreKilled(t *testing.T) {
	t.Parallel()
	c, want := start(t), content()
	id := c.filled("cache", want)
	g := newGallows(t, c.API)
	dir := t.TempDir()
	plan, token := filepath.Join(dir, "firedrill.yaml"), filepath.Join(dir, "token")
	text := fmt.Sprintf("version: 1\nname: killed\nenvironments:\n  sandbox:\n    class: sandbox\n    cloudflare: {api: %q, account: %s, token: {file: %q}}\n    resources:\n      cache: {kind: kv, name: cache}\n", g.URL, c.Account, token)
	for name, text := range map[string]string{plan: text, token: c.Token()} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	common := []string{"--plan", plan, "--home", filepath.Join(dir, "home"), "--yes"}
	into := location{Folder: filepath.Join(dir, "backup")}
	place, _, _ := into.open()
	backups := order{Args: append([]string{"backup", "kv", "cache", "-o", into.Folder}, common...)}
	restores := order{Args: append([]string{"restore", into.Folder, "--into", "cache", "--mode", "exact"}, common...)}

	// Once to the end, to count.
	finish(t, backups, "count")
	forBackup := g.use(nil, 0, false)
	c.damage(id, want)
	finish(t, restores, "count")
	forRestore := g.use(nil, 0, false)
	if d := differ(want, c.look(id)); d != "" {
		t.Fatal(d)
	}
	for _, m := range moments(t, forBackup, 0, 3) {
		if err := os.RemoveAll(into.Folder); err != nil {
			t.Fatal(err)
		}
		if child := execute(t, g, backups, m); !child.killed(t) {
			t.Fatalf("backup, %s: it was not killed: %v\n%s", m, child.err, &child.output)
		}
		if err := halfWritten(t.Context(), place); err != nil {
			t.Fatalf("backup, %s: %v", m, err)
		}
		finish(t, backups, m)
		if err := complete(t.Context(), place, want); err != nil {
			t.Fatalf("backup, %s: %v", m, err)
		}
	}
	for _, m := range moments(t, forRestore, 0, 3) {
		c.damage(id, want)
		if child := execute(t, g, restores, m); !child.killed(t) {
			t.Fatalf("restore, %s: it was not killed: %v\n%s", m, child.err, &child.output)
		}
		finish(t, restores, m)
		if d := differ(want, c.look(id)); d != "" {
			t.Fatalf("restore, %s: %s", m, d)
		}
	}
	t.Logf("%d requests of a backup, %d of a restore", forBackup, forRestore)
}
