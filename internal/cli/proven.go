package cli

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"firedrill"
	"firedrill/internal/action/cloudflare"
)

// provenName is the file that remembers what doctor --live has shown, one JSON line
// for each drill that passed.
const provenName = "proven.jsonl"

// provenFor is how long a proof counts: platforms change.
const provenFor = 90 * 24 * time.Hour

// proof says that actions did on an account what they say.
type proof struct {
	API     string    `json:"api"`
	Account string    `json:"account"`
	Version string    `json:"version"` // of firedrill
	Actions []string  `json:"actions"`
	Run     string    `json:"run"` // its evidence
	At      time.Time `json:"at"`
}

// platform says what was drilled. What a sandbox does is tested with every build; a
// real account is proven by doctor --live: each action on the platform that the run
// used, within 90 days, by the same major version.
func (a *app) platform(home string, e firedrill.Environment, records []firedrill.Record) (firedrill.Platform, error) {
	api, _ := e.Settings["api"].(string)
	if api == "" {
		api = cloudflare.DefaultAPI
	}
	u, err := url.Parse(api)
	if err == nil && e.Class == firedrill.ClassSandbox {
		return firedrill.Platform{API: "sandbox", Proven: true}, nil
	}
	p := firedrill.Platform{API: api}
	if err == nil {
		p.API = u.Host
	}
	proofs, err := readProofs(home)
	if err != nil {
		return p, err
	}
	account, _ := e.Settings["account"].(string)
	ended := records[len(records)-1].At.Wall
	p.Proven = true
	for _, action := range usedActions(records, false) {
		// What these speak to is the application, not the platform.
		if strings.HasPrefix(action, "http.") || strings.HasPrefix(action, "quiesce.") {
			continue
		}
		p.Proven = p.Proven && slices.ContainsFunc(proofs, func(q proof) bool {
			return q.API == strings.TrimRight(api, "/") && strings.EqualFold(q.Account, account) && major(q.Version) == major(a.Version) &&
				!q.At.After(ended) && ended.Sub(q.At) <= provenFor && slices.Contains(q.Actions, action)
		})
	}
	return p, nil
}

// major is the first number of a version; what comes behind may change without a
// new proof.
func major(version string) string {
	head, _, _ := strings.Cut(version, ".")
	return head
}

// usedActions gives the actions that a run used, each once; with only good ones,
// those that ended well at least once.
func usedActions(records []firedrill.Record, good bool) []string {
	type attempt struct {
		step, op string
		role     firedrill.Role
		n        int
	}
	intended := map[attempt]string{}
	var used []string
	for _, r := range records {
		action := ""
		switch b := r.Body.(type) {
		case firedrill.Intended:
			intended[attempt{b.Step, b.Op, b.Role, b.Attempt}] = b.Uses
			if !good {
				action = b.Uses
			}
		case firedrill.Ended:
			if good && b.Status == firedrill.StatusOK {
				action = intended[attempt{b.Step, b.Op, b.Role, b.Attempt}]
			}
		}
		if action != "" && !slices.Contains(used, action) {
			used = append(used, action)
		}
	}
	slices.Sort(used)
	return used
}

// remember adds a proof.
func (p proof) remember(home string) error {
	line, err := json.Marshal(p)
	if err == nil {
		err = appendLine(filepath.Join(home, provenName), line)
	}
	if err != nil {
		return &firedrill.Error{Op: "remember what was proven", Kind: firedrill.KindStorage, Target: home, Err: err, Remedy: "make room on the disk, or name another --home"}
	}
	return nil
}

// readProofs reads what was proven from this state folder.
func readProofs(home string) ([]proof, error) {
	data, err := os.ReadFile(filepath.Join(home, provenName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &firedrill.Error{Op: "read what was proven", Kind: firedrill.KindStorage, Target: home, Err: err, Remedy: "make the folder readable, or name another --home"}
	}
	var all []proof
	for line := range strings.Lines(string(data)) {
		var p proof
		if json.Unmarshal([]byte(line), &p) == nil { // a line that a crash cut short proves nothing
			all = append(all, p)
		}
	}
	return all, nil
}
