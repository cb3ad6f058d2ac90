package draft

import (
	"strings"

	"firedrill/internal/isolation"
)

// keys gives resources the names by which a plan knows them. They follow from
// names of Workers and bindings, which are the same in all environments, so that a
// drill of one environment can run on another.
type keys struct {
	prefix  string          // that all Workers' names have in common
	several map[string]bool // bindings that mean different things in one environment
}

func newKeys(all []isolation.Deployment) keys {
	k := keys{several: map[string]bool{}}
	bases := map[string]bool{}
	first := ""
	for _, d := range all {
		bases[d.Base] = true
		first = d.Base
	}
	if head, _, cut := strings.Cut(first, "-"); cut && len(bases) > 1 {
		k.prefix = head + "-"
	}
	for base := range bases {
		if rest, has := strings.CutPrefix(base, k.prefix); !has || Slug(rest) != strings.ToLower(rest) {
			k.prefix = ""
		}
	}
	meaning := map[[2]string]string{} // by environment and key
	for _, d := range all {
		for _, r := range d.Resources {
			at, thing := [2]string{d.Environment.Name, Slug(r.Binding)}, r.Kind+" "+r.ID
			if r.ID == "" {
				thing = r.Kind + " name " + r.Name
			}
			if other, told := meaning[at]; told && other != thing {
				k.several[Slug(r.Binding)] = true
			}
			meaning[at] = thing
		}
	}
	return k
}

func (k keys) worker(base string) string { return Slug(strings.TrimPrefix(base, k.prefix)) }

func (k keys) bound(base string, r isolation.Resource) string {
	key := Slug(r.Binding)
	if k.several[key] {
		return k.worker(base) + "-" + key
	}
	return key
}

// Slug makes a name that a plan takes: small letters, digits and single dashes,
// a letter first.
func Slug(text string) string {
	parts := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	s := strings.Join(parts, "-")
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		s = strings.TrimSuffix("x-"+s, "-")
	}
	return s
}
