// Command evidence measures how long verifying a chain takes and how much memory it
// needs: of 1,000 bundles and of 10,000, side by side. A bundle has the documents of
// some size (a real run has about 150 KiB) and an artefact.
//
//	go run ./bench/evidence [-sizes 1000,10000] [-kib 24] [-dir /dev/shm]
package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"firedrill"
	"firedrill/bench/peak"
	"firedrill/internal/evidence"
)

// limitMiB is what a verification may need, whatever the chain's length.
const limitMiB = 150

func main() {
	sizes := flag.String("sizes", "1000,10000", "numbers of bundles")
	kib := flag.Int("kib", 24, "KiB of documents in a bundle")
	where := flag.String("dir", "/dev/shm", "where the chains are made: sealing waits for the disk, and is not what is measured")
	verify := flag.String("verify", "", "verify this folder, and print seconds and MiB")
	flag.Parse()
	err := error(nil)
	if *verify != "" {
		err = measure(*verify)
	} else {
		err = run(strings.Split(*sizes, ","), *kib, *where)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "evidence:", err)
		os.Exit(1)
	}
}

func run(sizes []string, kib int, where string) error {
	var before sample
	fmt.Printf("%-9s %-10s %-11s %-9s %-8s %s\n", "BUNDLES", "SEALED IN", "VERIFIED IN", "CPU", "MEMORY", "FACTOR")
	for _, text := range sizes {
		n, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		now, sealed, err := one(n, kib, where)
		if err != nil {
			return err
		}
		factor := "–"
		if before.Bundles > 0 {
			factor = fmt.Sprintf("%.1f times the processor time for %.1f times the bundles", now.CPU/before.CPU, float64(n)/float64(before.Bundles))
		}
		fmt.Printf("%-9d %-10s %-11s %-9s %-8s %s\n", n, fmt.Sprintf("%.1f s", sealed.Seconds()), fmt.Sprintf("%.2f s", now.Seconds),
			fmt.Sprintf("%.2f s", now.CPU), fmt.Sprintf("%.0f MiB", now.MiB), factor)
		if now.MiB > limitMiB {
			return fmt.Errorf("%.0f MiB are more than %d", now.MiB, limitMiB)
		}
		before = now
	}
	return nil
}

// sample is what a process measured that did nothing but verify.
type sample struct {
	Bundles int
	Seconds float64
	CPU     float64 // seconds of processor time, which a busy machine changes less
	MiB     float64
}

// one seals a chain and has another process verify it.
func one(n, kib int, where string) (s sample, sealed time.Duration, err error) {
	dir, err := os.MkdirTemp(where, "evidence")
	if err != nil {
		return s, 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	start := time.Now()
	if err := seal(dir, n, kib); err != nil {
		return s, 0, err
	}
	sealed = time.Since(start)
	self, err := os.Executable()
	if err != nil {
		return s, 0, err
	}
	c := exec.Command(self, "-verify", dir) //nolint:noctx // it ends by itself
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		return s, 0, err
	}
	err = json.Unmarshal(out, &s)
	s.CPU = (c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Seconds()
	if err == nil && s.Bundles != n {
		err = fmt.Errorf("%d bundles were verified, not %d", s.Bundles, n)
	}
	return s, sealed, err
}

func seal(dir string, n, kib int) error {
	signer, err := evidence.Keeper{Dir: dir, Random: rand.Reader}.Signer()
	if err != nil {
		return err
	}
	a := evidence.Archive{Dir: dir, Store: "local", Signer: signer, Now: time.Now}
	for i := range n {
		run := fmt.Sprintf("01BENCH%08d", i)
		folder := filepath.Join(dir, evidence.RunsFolder, run)
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, "rows.fingerprint"), []byte("rows of "+run), 0o600); err != nil {
			return err
		}
		text := []byte(strings.Repeat(run+": one line of a document of this run\n", kib*1024/6/52))
		documents := map[string][]byte{}
		for _, name := range []string{evidence.RecordsFile, evidence.ResultFile, evidence.PlanFile, evidence.VersionsFile, evidence.LogFile, evidence.ReportFile} {
			documents[name] = text
		}
		if _, err := a.Seal(evidence.Facts{Run: run, Drill: "bench", Verdict: firedrill.Passed}, documents); err != nil {
			return err
		}
	}
	return nil
}

// measure verifies in a process of its own, whose memory is that of verifying alone.
func measure(dir string) error {
	start := time.Now()
	r, err := evidence.Verify(os.DirFS(dir), evidence.Options{})
	if err != nil {
		return err
	}
	s := sample{Seconds: time.Since(start).Seconds()}
	if len(r.Findings) > 0 {
		return fmt.Errorf("something is not as it was signed: %+v", r.Findings[0])
	}
	s.Bundles = r.Chains[0].Bundles
	if s.MiB, err = peak.MiB(0); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(s)
}
