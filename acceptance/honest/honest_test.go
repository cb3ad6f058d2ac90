package honest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"firedrill"
	"firedrill/internal/sandbox"
	"firedrill/internal/testkit/sandboxtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// soak tells whether everything is tried, and not a sample.
func soak() bool { return os.Getenv("FIREDRILL_SOAK") != "" }

// every is all that can be hard about a run, in every combination.
func every() []conditions {
	var all []conditions
	for _, drill := range []string{"d1-pitr", "kv-backup-restore", "worker-rollback"} {
		for _, slow := range []bool{false, true} {
			for _, others := range []bool{false, true} {
				all = append(all, conditions{drill: drill, slow: slow, others: others})
			}
			if drill != "worker-rollback" {
				all = append(all, conditions{drill: drill, slow: slow, quiesced: true})
			}
			if drill == "kv-backup-restore" {
				all = append(all, conditions{drill: drill, slow: slow, late: true}, conditions{drill: drill, slow: slow, late: true, others: true},
					conditions{drill: drill, slow: slow, late: true, shown: true}, conditions{drill: drill, slow: slow, shown: true})
			}
		}
	}
	return all
}

const (
	runs  = 200
	lanes = 4 // of runs side by side; most of a run is waiting
)

// TestHonestRunsPass: where nothing is wrong, drills pass.
func TestHonestRunsPass(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	chance := rand.New(rand.NewPCG(seed, 0)) // not for secrets
	var all []conditions
	for len(all) < runs {
		all = append(all, every()...)
	}
	all = all[:runs]
	chance.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	if !soak() {
		all = sample(all)
	}
	t.Logf("%d of %d runs, seed %d", len(all), runs, seed)
	prompt := sandboxtest.Start(t)
	late := sandboxtest.Start(t, func(cfg *sandbox.Config) { cfg.KVLag = time.Second })
	t.Run("runs", func(t *testing.T) {
		for lane := range lanes {
			t.Run(fmt.Sprint(lane), func(t *testing.T) {
				t.Parallel()
				for i := lane; i < len(all); i += lanes {
					c := prompt
					if all[i].late {
						c = late
					}
					h := open(t, c, fmt.Sprintf("run-%d", i), all[i], rand.New(rand.NewPCG(seed, uint64(i)+1))) // not for secrets
					began := time.Now()
					r, err := h.run()
					refused := h.close()
					if err != nil || r.Verdict != firedrill.Passed || r.State != firedrill.Restored {
						t.Errorf("run %d of seed %d (%s): %v, %s, %s: %s", i, seed, all[i], err, r.Verdict, r.State, strings.Join(r.Reasons, "; "))
						continue
					}
					t.Logf("run %d (%s): passed after %.1f s, %d calls refused", i, all[i], time.Since(began).Seconds(), refused)
				}
			})
		}
	})
}

// sample takes of each drill one run on its own, some beside others, and one where
// writes show late.
func sample(all []conditions) []conditions {
	var some []conditions
	for _, want := range []func(conditions) bool{
		func(c conditions) bool { return c.drill == "d1-pitr" && !c.others && c.slow },
		func(c conditions) bool { return c.drill == "d1-pitr" && c.others },
		func(c conditions) bool { return c.drill == "worker-rollback" },
		func(c conditions) bool { return c.drill == "kv-backup-restore" && c.others },
		func(c conditions) bool { return c.quiesced },
		func(c conditions) bool { return c.drill == "kv-backup-restore" && c.late },
	} {
		some = append(some, all[slices.IndexFunc(all, want)])
	}
	return some
}
