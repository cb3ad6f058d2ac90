package cli

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/cli/term"
)

func (a *app) actionCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "action", Short: "The actions that drills are made of",
		Args: func(c *cobra.Command, given []string) error {
			if len(given) > 0 {
				return unknownCommand(c, given[0])
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(
		&cobra.Command{Use: "list", Short: "All actions", Args: args(0, 0, "no arguments"),
			RunE: func(*cobra.Command, []string) error { return a.actionList() }},
		&cobra.Command{Use: "show NAME", Short: "Inputs, outputs and behaviour of an action", Args: args(1, 1, "one name"),
			Example: "  firedrill action show d1.restore",
			ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
				return a.actionNames(), cobra.ShellCompDirectiveNoFileComp
			},
			RunE: func(_ *cobra.Command, given []string) error { return a.actionShow(given[0]) }},
	)
	return c
}

// actionDoc is an action as --json shows it.
type actionDoc struct {
	Name    string           `json:"name"`
	Doc     string           `json:"doc"`
	Impact  firedrill.Impact `json:"impact"`
	Replay  firedrill.Replay `json:"replay"`
	Inputs  []fieldDoc       `json:"inputs"`
	Outputs []fieldDoc       `json:"outputs"`
}

type fieldDoc struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Required bool   `json:"required"`
	Doc      string `json:"doc"`
}

func (a *app) actionList() error {
	w, err := a.plain()
	if err != nil {
		return err
	}
	specs := w.registry.Actions()
	if a.global.json {
		var docs []actionDoc
		for _, s := range specs {
			docs = append(docs, documentAction(s))
		}
		return a.printJSON(docs)
	}
	rows := [][]string{{"ACTION", "IMPACT", "WHAT IT DOES"}}
	for _, s := range specs {
		rows = append(rows, []string{s.Name, string(s.Impact), firstSentence(s.Doc)})
	}
	a.out.Columns(rows)
	return nil
}

func (a *app) actionShow(name string) error {
	w, err := a.plain()
	if err != nil {
		return err
	}
	s, ok := w.registry.Action(name)
	if !ok {
		return usage(fmt.Sprintf("there is no action %q", name), didYouMean(name, a.actionNames(), "firedrill action list"))
	}
	d := documentAction(s)
	if a.global.json {
		return a.printJSON(d)
	}
	p := a.out
	p.Line(term.Strong, s.Name, s.Doc)
	p.Line(term.Plain, "  impact", impactText(s.Impact))
	p.Line(term.Plain, "  if interrupted", replayText(s.Replay))
	for _, f := range d.Inputs {
		p.Line(term.Plain, "  with "+f.Name, fieldText(f))
	}
	for _, f := range d.Outputs {
		p.Line(term.Plain, "  gives "+f.Name, fieldText(f))
	}
	return nil
}

func (a *app) actionNames() []string {
	w, err := a.plain()
	if err != nil {
		return nil // completion has nobody to tell
	}
	var names []string
	for _, s := range w.registry.Actions() {
		names = append(names, s.Name)
	}
	return names
}

func documentAction(s firedrill.Spec) actionDoc {
	return actionDoc{s.Name, s.Doc, s.Impact, s.Replay, fields(s.In), fields(s.Out)}
}

func fields(t reflect.Type) []fieldDoc {
	var docs []fieldDoc
	if t == nil || t.Kind() != reflect.Struct {
		return docs
	}
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || !f.IsExported() || name == "-" || name == "" {
			continue
		}
		docs = append(docs, fieldDoc{name, typeName(f.Type), !strings.Contains(options, "omit"), f.Tag.Get("doc")})
	}
	return docs
}

// typeName says what a plan's author writes for a Go type.
func typeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return typeName(t.Elem())
	case reflect.Slice, reflect.Array:
		return "list of " + typeName(t.Elem())
	case reflect.Map, reflect.Struct, reflect.Interface:
		return "object"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "integer"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Bool:
		return "boolean"
	}
	return t.Kind().String()
}

func fieldText(f fieldDoc) string {
	s := f.Type
	if f.Required {
		s += ", required"
	}
	if f.Doc != "" {
		s += ": " + f.Doc
	}
	return s
}

func impactText(i firedrill.Impact) string {
	switch i {
	case firedrill.Reads:
		return "changes nothing"
	case firedrill.Changes:
		return "changes something that can be put back"
	}
	return "damages on purpose: an injection"
}

func replayText(r firedrill.Replay) string {
	switch r {
	case firedrill.Idempotent:
		return "is done again"
	case firedrill.Ask:
		return "is asked whether it happened"
	}
	return "is never done again; the run turns to undo"
}

func firstSentence(s string) string {
	if i := strings.Index(s, ". "); i > 0 {
		return s[:i]
	}
	return strings.TrimSuffix(s, ".")
}
