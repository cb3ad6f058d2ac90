package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"firedrill/internal/plan"
	"firedrill/internal/playbook"
)

func (a *app) drillCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "drill", Short: "The built-in drills",
		Args: func(c *cobra.Command, given []string) error {
			if len(given) > 0 {
				return unknownCommand(c, given[0])
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	var incident, salvage bool
	show := &cobra.Command{Use: "show NAME", Short: "A drill's steps, in the language of plans", Args: args(1, 1, "one name"),
		Example: "  firedrill drill show d1-pitr",
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return catalog{}.library.Names(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, given []string) error { return a.drillShow(given[0], incident, salvage) }}
	show.Flags().BoolVar(&incident, "incident", false, "the steps that firedrill recover runs in a real incident")
	show.Flags().BoolVar(&salvage, "salvage", false, "those that firedrill recover --salvage runs")
	show.MarkFlagsMutuallyExclusive("incident", "salvage")
	c.AddCommand(
		&cobra.Command{Use: "list", Short: "All built-in drills", Args: args(0, 0, "no arguments"), RunE: func(*cobra.Command, []string) error { return a.drillList() }},
		show,
	)
	return c
}

// builtIn reads a built-in drill, or another playbook of a library.
func (a *app) builtIn(name string, library plan.Library) (*plan.Playbook, []byte, error) {
	c, err := a.plain()
	if err != nil {
		return nil, nil, err
	}
	file, data, ok := library.Source(name)
	if !ok {
		return nil, nil, usage(fmt.Sprintf("there is no built-in drill %q", name), didYouMean(name, library.Names(), "firedrill drill list"))
	}
	p, err := plan.ParsePlaybook(file, data, c.registry)
	return p, data, err
}

func (a *app) drillList() error {
	rows := [][]string{{"DRILL", "WHAT IT SHOWS"}}
	docs := []map[string]any{}
	for _, name := range (catalog{}).library.Names() {
		p, _, err := a.builtIn(name, playbook.Library{})
		if err != nil {
			return err
		}
		rows = append(rows, []string{p.Name, p.Title})
		docs = append(docs, map[string]any{"name": p.Name, "title": p.Title, "steps": len(p.Steps)})
	}
	if a.global.json {
		return a.printJSON(docs)
	}
	a.out.Columns(rows)
	return nil
}

func (a *app) drillShow(name string, incident, salvage bool) error {
	library := plan.Library(playbook.Library{})
	switch {
	case incident:
		library = playbook.Recoveries{}
	case salvage:
		library = playbook.Salvages{}
	}
	p, data, err := a.builtIn(name, library)
	if err != nil {
		return err
	}
	if a.global.json {
		return a.printJSON(map[string]any{"name": p.Name, "title": p.Title, "inputs": p.Inputs, "steps": p.Steps})
	}
	_, err = a.Stdout.Write(data)
	return err
}

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "JSON Schema of the plan file, for editors", Args: args(0, 0, "no arguments"),
		Example: "  firedrill schema > firedrill.schema.json",
		RunE: func(*cobra.Command, []string) error {
			c, err := a.plain()
			if err != nil {
				return err
			}
			data, err := plan.Schema(c.registry, c.library)
			if err != nil {
				return err
			}
			_, err = a.Stdout.Write(append(data, '\n'))
			return err
		},
	}
}
