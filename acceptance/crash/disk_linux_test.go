package crash

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"firedrill"
	"firedrill/internal/testkit/smalldisk"
)

// TestAFullDiskPutsBack fills the disk of the state folder before a request of the
// real program, when all is damaged and at others by chance (all when everything is
// tried): the drill goes back by itself, and says why.
func TestAFullDiskPutsBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	disk := smalldisk.New(t, 16<<20)
	s.home = filepath.Join(disk, "home")
	full := func(name string, fills func(n int, r *http.Request) bool) (filled bool) {
		t.Helper()
		var filler string
		var once sync.Once
		s.gate(func(n int, r *http.Request) {
			if fills(n, r) {
				once.Do(func() { filler = smalldisk.Fill(t, disk, 0) })
			}
		}, nil)
		out, told := s.output("run", "d1-pitr")
		s.gate(nil, nil)
		if filler == "" {
			return false
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(told, "journal cannot be written") {
			t.Fatalf("%s: %s%s", name, out, told)
		}
		r := s.restored()
		why := strings.Join(r.Reasons, " ")
		if said := strings.Contains(why, "disk of the state folder is full") || strings.Contains(why, "no space left"); r.Verdict == firedrill.Aborted || said == (r.Verdict == firedrill.Passed) {
			t.Errorf("%s: %s, %q", name, r.Verdict, why)
		}
		if t.Failed() {
			t.Fatalf("%s: %s%s", name, out, told)
		}
		t.Logf("%s: %s, %s", name, r.Verdict, r.ReasonCode)
		return true
	}
	if !full("at the restore", func(_ int, r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/time_travel/restore") }) {
		t.Error("no restore was sent")
	}
	at := func(point int) bool {
		return full(fmt.Sprint("at request ", point), func(n int, _ *http.Request) bool { return n == point })
	}
	if soak() {
		for point := 2; at(point); point++ {
			continue
		}
		return
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0)) // not for secrets
	for range 2 {
		at(2 + chance.IntN(40))
	}
}
