package evidence

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"

	"firedrill"
)

// Remarks gives what people added to runs, by run, the oldest first. It reads the
// entries of remarks alone. One that is not signed by the key of its chain is no
// remark: verification says what happened to it.
func Remarks(dir string) (map[string][]firedrill.Remark, error) {
	chains, err := Chains(dir)
	if err != nil {
		return nil, err
	}
	found := map[string][]firedrill.Remark{}
	for _, chain := range chains {
		entries, err := Entries(chain)
		if err != nil {
			return nil, err
		}
		var key *Key
		for _, e := range entries {
			if e.Kind == KindRun {
				continue
			}
			if key == nil {
				key = keyOf(chain)
			}
			if r, ok := key.remark(filepath.Join(chain, e.String()), e); ok {
				found[e.Run] = append(found[e.Run], r)
			}
		}
	}
	for _, all := range found {
		slices.SortStableFunc(all, func(a, b firedrill.Remark) int { return a.At.Compare(b.At) })
	}
	return found, nil
}

// keyOf gives the key of a chain, nil if it is not the one that the folder says.
func keyOf(chain string) *Key {
	data, err := os.ReadFile(filepath.Join(chain, publicFile))
	if err != nil {
		return nil
	}
	k, err := ParseKey(data)
	if err != nil || k.ID() != filepath.Base(chain) {
		return nil
	}
	return &k
}

func (k *Key) remark(file string, e Entry) (firedrill.Remark, bool) {
	if k == nil {
		return firedrill.Remark{}, false
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return firedrill.Remark{}, false
	}
	s, err := k.open(data)
	var p remarkPredicate
	if err != nil || s.PredicateType != remarkType || json.Unmarshal(s.Predicate, &p) != nil {
		return firedrill.Remark{}, false
	}
	return p.Remark, p.Run == e.Run && p.Sequence == e.Sequence && string(p.Remark.Kind) == string(e.Kind)
}
