package plan

import (
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"firedrill"
	"firedrill/internal/certify"
	"firedrill/internal/schedule"
)

// certification reads what the plan says about its score. Drills are known already.
func (b *builder) certification(n *node, drills []firedrill.Drill) *firedrill.Certification {
	before := len(b.errs)
	c := &firedrill.Certification{}
	b.into(n, c, "certification")
	if len(b.errs) > before {
		return nil
	}
	var names []string
	for _, d := range drills {
		names = append(names, d.Name)
	}
	if list := n.get("items"); list != nil {
		for i, item := range list.items {
			b.named(item.get("id").pos, "item", c.Items[i].ID)
			b.rubricItem(item, c.Items[i], names)
		}
	}
	for _, file := range []*node{n.get("controls"), n.below("isolation", "baseline"), n.below("isolation", "folder")} {
		b.inRepository(file)
	}
	if list := n.get("documents"); list != nil {
		for _, file := range list.items {
			b.inRepository(file)
		}
	}
	if len(b.errs) == before {
		if _, err := certify.RubricOf(c); err != nil {
			for _, text := range strings.Split(err.Error(), "\n") {
				b.fail(n.pos, "certification: "+text, "")
			}
		}
	}
	return c
}

// rubricItem refuses an item that nothing could ever show because of a slip.
func (b *builder) rubricItem(n *node, item firedrill.RubricItem, drills []string) {
	if item.Use != "" && len(item.Drills) > 0 {
		b.fail(n.get("drills").pos, "an item has either drills or use", "remove one of them")
	}
	if item.Use != "" && !slices.Contains(b.library.Names(), item.Use) {
		b.fail(n.get("use").pos, fmt.Sprintf("there is no built-in drill %q", item.Use), nearest(item.Use, b.library.Names()))
	}
	for i, d := range item.Drills {
		if !slices.Contains(drills, d) {
			b.fail(n.get("drills").items[i].pos, fmt.Sprintf("the plan has no drill %q", d), nearest(d, drills))
		}
	}
	if item.Every != "" {
		if _, err := schedule.Parse(item.Every); err != nil {
			b.fail(n.get("every").pos, fmt.Sprintf("every: %q is no frequency", item.Every), nearest(item.Every, Every()))
		}
	}
}

// inRepository refuses a path that means something else on another machine.
func (b *builder) inRepository(n *node) {
	if n == nil {
		return
	}
	if text := b.text(n, "a path"); text == "" || path.IsAbs(text) {
		b.fail(n.pos, fmt.Sprintf("%q is no path relative to the plan", text), "write for example docs/DR.md")
	}
}

// below gives the value of a key of a key, nil if either is not there.
func (n *node) below(key, inner string) *node {
	if m := n.get(key); m != nil {
		return m.get(inner)
	}
	return nil
}

func certificationSchema(lib Library) *jsonschema.Schema {
	s := typeSchema(reflect.TypeFor[firedrill.Certification]())
	s.Description = "what the score is made of; left out: the default rubric"
	item := s.Properties["items"].Items.Properties
	item["use"].Enum = anyOf(lib.Names())
	item["every"] = everySchema()
	return s
}

func anyOf(names []string) []any {
	out := make([]any, len(names))
	for i, n := range names {
		out[i] = n
	}
	return out
}
