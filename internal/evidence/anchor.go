package evidence

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"firedrill"
)

// Anchor says how far a chain went at a moment: one line, to be kept where who can
// write the chain cannot. It is not signed: it is worth as much as the place that it
// is kept in.
type Anchor struct {
	Key      string    `json:"key"` // id of the chain's key
	Sequence int64     `json:"sequence"`
	Head     string    `json:"head"` // SHA-256 of that entry, hex
	At       time.Time `json:"at"`   // when the anchor was made
}

const anchorWord = "firedrill-anchor v1 "

// String is the line.
func (a Anchor) String() string {
	return fmt.Sprintf("%s%s %d %s %s", anchorWord, a.Key, a.Sequence, a.Head, a.At.UTC().Format(time.RFC3339))
}

// ParseAnchors reads lines of anchors. Empty lines and lines that begin with # are
// left out; any other line is an error, or an anchor that was damaged would go
// unnoticed.
func ParseAnchors(text string) ([]Anchor, error) {
	var all []Anchor
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		a, ok := parseAnchor(line)
		if !ok {
			return nil, &firedrill.Error{Op: "read the anchors", Kind: firedrill.KindCorrupt, Detail: fmt.Sprintf("line %d is no anchor: %.60q", n, line),
				Remedy: "give what firedrill evidence anchor wrote, whole lines of it"}
		}
		all = append(all, a)
	}
	return all, nil
}

func parseAnchor(line string) (a Anchor, ok bool) {
	f := strings.Fields(strings.TrimPrefix(line, anchorWord))
	if !strings.HasPrefix(line, anchorWord) || len(f) != 4 || !isKeyID(f[0]) || !isKeyID(f[2]) {
		return a, false
	}
	n, err := strconv.ParseInt(f[1], 10, 64)
	at, terr := time.Parse(time.RFC3339, f[3])
	a = Anchor{f[0], n, f[2], at.UTC()}
	return a, err == nil && terr == nil && n > 0 && a.String() == line
}

// Anchor is the anchor of the archive's own chain as it is now.
func (a Archive) Anchor() (Anchor, error) {
	entries, err := Entries(a.Chain())
	if err != nil {
		return Anchor{}, err
	}
	if len(entries) == 0 {
		return Anchor{}, &firedrill.Error{Op: "anchor the evidence", Kind: firedrill.KindUsage, Detail: "no run is sealed yet", Remedy: "run a drill first, for example: firedrill demo"}
	}
	link, err := a.next()
	return Anchor{a.Signer.Key().ID(), entries[len(entries)-1].Sequence, link.Previous, a.Now().UTC().Truncate(time.Second)}, asStorage(err, "anchor the evidence", filepath.Base(a.Chain()))
}

// anchorsOf are those of one chain, by the entry that they name.
func anchorsOf(all []Anchor, id string) map[int64][]Anchor {
	of := map[int64][]Anchor{}
	for _, a := range all {
		if a.Key == id {
			of[a.Sequence] = append(of[a.Sequence], a)
		}
	}
	return of
}

// hold compares an entry with what was anchored of it.
func (w *walk) hold(at Finding, sequence int64, hash string) {
	for _, a := range w.anchors[sequence] {
		w.report.Anchors++
		if a.Head != hash {
			w.found(at, "is not the entry that was anchored on "+a.At.Format(time.RFC3339)+": the chain was written anew")
		}
	}
	delete(w.anchors, sequence)
}

// anchored judges the anchors whose entries did not come.
func (w *walk) anchored(part bool) {
	for _, n := range slices.Sorted(maps.Keys(w.anchors)) {
		for _, a := range w.anchors[n] {
			switch {
			case part && (n > w.last || n < w.first):
				w.verifier.report.Beyond++
			case n > w.last:
				w.found(Finding{Key: w.report.Key}, fmt.Sprintf("the end was cut off: entry %d was anchored on %s, here is none after %d", n, a.At.Format(time.RFC3339), w.last))
			default:
				w.found(Finding{Key: w.report.Key}, fmt.Sprintf("entry %d was anchored on %s and is missing", n, a.At.Format(time.RFC3339)))
			}
		}
	}
}

// unmatched finds anchors of chains that are not here.
func (v *verifier) unmatched() {
	missing := map[string]bool{}
	for _, a := range v.options.Anchors {
		here := false
		for _, c := range v.report.Chains {
			here = here || c.Key == a.Key
		}
		switch {
		case here || missing[a.Key]:
		case v.period != nil:
			v.report.Beyond++
		default:
			missing[a.Key] = true
			v.found(Finding{Key: a.Key}, fmt.Sprintf("the whole chain is missing: it was anchored on %s", a.At.Format(time.RFC3339)))
		}
	}
}
