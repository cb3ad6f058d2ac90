package d1

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// killSpec makes the test binary work on a database and kill itself:
// "FOLDER SEED POINT HIT" stops at the HIT-th time that POINT is reached.
const killSpec = "FIREDRILL_TEST_D1_KILL"

func TestMain(m *testing.M) {
	if spec := os.Getenv(killSpec); spec != "" {
		work(strings.Split(spec, "|"))
		os.Exit(0)
	}
	if dir := os.Getenv(memorySpec); dir != "" {
		passThrough(dir)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// points are all boundaries of capture, checkpoint and rewind.
func points() []string {
	return []string{"before commit", "after commit", "before capture", "torn record", "after capture", "before history fsync",
		"after history fsync", "before checkpoint", "after checkpoint", "before rewind", "after rewind"}
}

// work is the child: random writes, bookmarks and rewinds. It tells each
// acknowledgement before it goes on: "row N", "mark BOOKMARK CONTENT", and
// "back N" after a rewind.
func work(spec []string) {
	var seed uint64
	var hit int
	if _, err := fmt.Sscan(spec[1]+" "+spec[3], &seed, &hit); err != nil {
		panic(err)
	}
	rng := rand.New(rand.NewPCG(seed, 3))
	at := func(point string) {
		if point != spec[2] {
			return
		}
		if hit--; hit == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			time.Sleep(time.Minute)
		}
	}
	ctx := context.Background()
	s, err := Open(ctx, Options{Dir: spec[0], Now: time.Now, CheckpointFrames: 12, At: at})
	check(err)
	d, err := s.Create(ctx, Database{Name: "k"})
	check(err)
	fmt.Println("id", d.ID)
	query := func(sql string) string {
		_, mark, err := s.Query(ctx, d.ID, []Statement{{SQL: sql}})
		check(err)
		return mark
	}
	query("CREATE TABLE t(n INTEGER PRIMARY KEY, pad BLOB)")
	fmt.Println("rows 0")
	n := 0
	type known struct {
		mark string
		n    int
	}
	var marks []known
	for range 60 {
		n++
		m := query(fmt.Sprintf("INSERT INTO t VALUES (%d, zeroblob(%d))", n, rng.IntN(6000)))
		fmt.Println("rows", n)
		fmt.Println("mark", m, n)
		marks = append(marks, known{m, n})
		if rng.IntN(4) == 0 {
			back := marks[rng.IntN(len(marks))]
			fmt.Println("rewinding", back.n)
			_, _, err := s.Restore(ctx, d.ID, back.mark)
			check(err)
			n = back.n
			fmt.Println("rows", n)
		}
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// TestAKillAtEveryBoundaryLosesNothing kills at each boundary and looks at
// every acknowledged row and bookmark.
func TestAKillAtEveryBoundaryLosesNothing(t *testing.T) {
	t.Parallel()
	hits := []int{1, 5, 11}
	seeds := 1
	if os.Getenv("FIREDRILL_SOAK") != "" {
		hits, seeds = []int{1, 2, 3, 4, 5, 8, 11, 17, 23, 31}, 12
	}
	for _, point := range points() {
		for _, hit := range hits {
			for seed := range seeds {
				t.Run(fmt.Sprintf("%s/%d/%d", point, hit, seed), func(t *testing.T) {
					t.Parallel()
					killed(t, point, hit, seed)
				})
			}
		}
	}
}

func killed(t *testing.T, point string, hit, seed int) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "d1")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := osexec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%d|%s|%d", killSpec, dir, seed, point, hit))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *osexec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL) {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	if err == nil && point != "before rewind" && point != "after rewind" && hit < 6 {
		t.Fatalf("point %q was not reached %d times", point, hit)
	}
	var id string
	acknowledged, may := -1, -1 // rows; may: what a rewind under way leads to
	marks := map[string]int{}
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		switch f[0] {
		case "id":
			id = f[1]
		case "rows":
			acknowledged, may = number(t, f[1]), -1
		case "mark":
			marks[f[1]] = number(t, f[2])
		case "rewinding":
			may = number(t, f[1])
		}
	}
	if id == "" {
		return // killed while the database was made
	}
	s := openStore(t, dir)
	if acknowledged < 0 {
		content(t, s, id)
		return
	}
	// The write under way may have happened, acknowledged or not.
	got := rows(t, s, id)
	if got != acknowledged && got != acknowledged+1 && got != may {
		t.Fatalf("%d rows, %d were acknowledged", got, acknowledged)
	}
	for m, n := range marks {
		if _, _, err := s.Restore(context.Background(), id, m); err != nil {
			t.Fatalf("bookmark %s: %v", m, err)
		}
		if got := rows(t, s, id); got != n {
			t.Fatalf("bookmark %s leads to %d rows, it was given at %d", m, got, n)
		}
	}
	content(t, s, id) // checks integrity
}

func number(t *testing.T, s string) int {
	t.Helper()
	var n int
	if _, err := fmt.Sscan(s, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// rows checks that the rows are 1 to N without a gap and gives N.
func rows(t *testing.T, s *Store, id string) int {
	t.Helper()
	r := onlyRow(t, s, id, "SELECT count(*), coalesce(max(n), 0) FROM t")
	if r[0] != r[1] {
		t.Fatalf("%v rows, the last is %v", r[0], r[1])
	}
	n, _ := r[0].(int64)
	return int(n)
}

func onlyRow(t *testing.T, s *Store, id, sql string) []any {
	t.Helper()
	res, _, err := s.Query(context.Background(), id, []Statement{{SQL: sql}})
	if err != nil {
		t.Fatal(err)
	}
	return res[0].Rows[0]
}

// TestADamagedTailIsCapturedAgain cuts and flips the end of a history that was
// never checkpointed: the WAL tells it again.
func TestADamagedTailIsCapturedAgain(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func([]byte) []byte{
		"cut":     func(b []byte) []byte { return b[:len(b)-5000] },
		"flipped": func(b []byte) []byte { b[len(b)-3000] ^= 1; return b },
		"garbage": func(b []byte) []byte { return append(b, "not a record"...) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "d1")
			cmd := osexec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%d|%s|%d", killSpec, dir, 1, "after capture", 9))
			out, err := cmd.Output()
			if err == nil {
				t.Fatal("the child was not killed")
			}
			var id string
			marks := map[string]int{}
			for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
				switch f := strings.Fields(line); f[0] {
				case "id":
					id = f[1]
				case "mark":
					marks[f[1]] = number(t, f[2])
				}
			}
			if len(marks) < 2 {
				t.Fatalf("only %d bookmarks: the test tests nothing", len(marks))
			}
			path := filepath.Join(dir, id, historyFile)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, harm(data), 0o600); err != nil {
				t.Fatal(err)
			}
			s := openStore(t, dir)
			for m, n := range marks {
				if _, _, err := s.Restore(context.Background(), id, m); err != nil {
					t.Fatal(err)
				}
				if got := rows(t, s, id); got != n {
					t.Errorf("bookmark %s leads to %d rows, it was given at %d", m, got, n)
				}
			}
		})
	}
}
