package isolation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"firedrill"
)

// Acceptance is a finding that somebody accepted, with a reason, until a day.
type Acceptance struct {
	Fingerprint string `json:"fingerprint"`
	Rule        Rule   `json:"rule"`
	// Message is what the finding said when it was accepted, for people who read
	// the file.
	Message string `json:"message,omitempty"`
	Reason  string `json:"reason"`
	Expires string `json:"expires"` // the last day, 2006-01-02
}

// BaselineFormat is the version of a baseline file.
const BaselineFormat = 1

// Baseline is the list of accepted findings.
type Baseline struct {
	Format   int          `json:"format"`
	Accepted []Acceptance `json:"accepted"`
}

// ParseBaseline reads a baseline file. An entry without reason or without a day
// is an error: what is accepted for ever and for no reason is forgotten.
func ParseBaseline(file string, data []byte) (Baseline, error) {
	var b Baseline
	refuse := func(detail, remedy string) (Baseline, error) {
		return Baseline{}, &firedrill.Error{Op: "read baseline", Kind: firedrill.KindUsage, Target: file, Detail: detail, Remedy: remedy}
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	err := dec.Decode(&b)
	if err == nil {
		if _, more := dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something stands behind the document")
		}
	}
	if err != nil {
		return refuse(err.Error(), `a baseline is {"format": 1, "accepted": [{"fingerprint": …, "rule": …, "reason": …, "expires": "2006-01-02"}]}`)
	}
	if b.Format != BaselineFormat {
		return refuse(fmt.Sprintf("has format %d", b.Format), fmt.Sprintf("this firedrill reads format %d", BaselineFormat))
	}
	seen := map[string]bool{}
	for _, a := range b.Accepted {
		if a.Fingerprint == "" || strings.TrimSpace(a.Reason) == "" {
			return refuse(fmt.Sprintf("the entry %q has no fingerprint or no reason", a.Fingerprint), "say why it is accepted")
		}
		if seen[a.Fingerprint] {
			return refuse(fmt.Sprintf("the entry %s stands there twice", a.Fingerprint), "keep one of them")
		}
		seen[a.Fingerprint] = true
		if _, err := time.Parse(time.DateOnly, a.Expires); err != nil {
			return refuse(fmt.Sprintf("the entry %s expires on %q, which is no day", a.Fingerprint, a.Expires), "give the last day as 2006-01-02")
		}
	}
	return b, nil
}

// Apply marks the findings that the baseline accepts on a day, and tells which of
// its entries have expired and which match nothing.
func (b Baseline) Apply(r *Report, today time.Time) (expired, unused []Acceptance) {
	day := today.Format(time.DateOnly)
	for i, a := range b.Accepted {
		used := false
		for j, f := range r.Findings {
			if f.Fingerprint != a.Fingerprint {
				continue
			}
			used = true
			if a.Expires >= day {
				r.Findings[j].Accepted = &b.Accepted[i]
			}
		}
		switch {
		case !used:
			unused = append(unused, a)
		case a.Expires < day:
			expired = append(expired, a)
		}
	}
	return expired, unused
}

// Accept makes a baseline of what counts in a report, together with what it
// accepts already.
func Accept(r Report, reason string, expires time.Time) Baseline {
	b := Baseline{Format: BaselineFormat, Accepted: []Acceptance{}}
	seen := map[string]bool{}
	for _, f := range r.Findings {
		switch {
		case seen[f.Fingerprint]:
		case f.Accepted != nil:
			b.Accepted = append(b.Accepted, *f.Accepted)
		case f.Counts():
			b.Accepted = append(b.Accepted, Acceptance{f.Fingerprint, f.Rule, f.Message, reason, expires.Format(time.DateOnly)})
		}
		seen[f.Fingerprint] = true
	}
	return b
}
