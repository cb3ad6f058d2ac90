package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/cli/term"
	"firedrill/internal/evidence"
	"firedrill/internal/journal"
)

func (a *app) noteCommand() *cobra.Command {
	return &cobra.Command{
		Use: "note RUN TEXT", Short: "Add a signed note to a run that is over",
		Long: `Note adds a sentence to a finished run: what was found out afterwards, what will
be done. It is signed and becomes an entry of the evidence; nothing of the run
itself is changed. RUN may be "latest".`,
		Example: `  firedrill note latest "index rebuilt, see OPS-4711"`,
		Args:    args(2, 2, "a run and a text"),
		RunE: func(c *cobra.Command, given []string) error {
			if strings.TrimSpace(given[1]) == "" {
				return usage("the note is empty", `firedrill note RUN "what is to be remembered"`)
			}
			return a.remark(c.Context(), given[0], firedrill.RemarkNote, given[1])
		},
	}
}

func (a *app) ackCommand() *cobra.Command {
	var note string
	c := &cobra.Command{
		Use: "ack RUN", Short: "Acknowledge a run that failed: somebody looked into it",
		Long: `Ack says that somebody looked into a run that did not pass, so that its drill may
be due again. It is signed and becomes an entry of the evidence; the verdict
stays what it is. RUN may be "latest".`,
		Example: `  firedrill ack latest --note "the index was missing in staging, fixed"`,
		Args:    args(1, 1, "one run"),
		RunE: func(c *cobra.Command, given []string) error {
			return a.remark(c.Context(), given[0], firedrill.RemarkAck, note)
		},
	}
	c.Flags().StringVar(&note, "note", "", "`TEXT` that says what was found")
	return c
}

// remarkDocument is what `note` and `ack` print with --json.
type remarkDocument struct {
	SchemaVersion int              `json:"schema_version"`
	Run           string           `json:"run"`
	Remark        firedrill.Remark `json:"remark"`
	Entry         string           `json:"entry"` // of the evidence
}

func (a *app) remark(ctx context.Context, run string, kind firedrill.RemarkKind, text string) (err error) {
	if err := checkWords("the text", text); err != nil {
		return err
	}
	s, err := a.open(ctx, nil, action.SystemSecrets(), nil)
	if err != nil {
		return err
	}
	defer func() { err = s.close(err) }()
	archive, err := a.upToDate(ctx, s)
	if err != nil {
		return err
	}
	if run, err = s.finishedRun(ctx, run); err != nil {
		return err
	}
	a.tellUnsealed()
	r := firedrill.Remark{Kind: kind, At: a.Now().UTC(), By: a.executor(), Text: text}
	e, err := archive.Remark(run, r)
	if err != nil {
		return err
	}
	if err := a.push(ctx, s, archive); err != nil {
		return err
	}
	if a.global.json {
		return a.printJSON(remarkDocument{1, run, r, e.String()})
	}
	what := map[firedrill.RemarkKind]string{firedrill.RemarkNote: "noted", firedrill.RemarkAck: "acknowledged"}[kind]
	a.out.Line(term.Plain, what, fmt.Sprintf("run %s, as entry %d of the evidence", run, e.Sequence))
	return nil
}

// upToDate is the evidence of a state store with all that can be sealed, and with what
// other machines added.
func (a *app) upToDate(ctx context.Context, s *station) (evidence.Archive, error) {
	archive, err := a.archive(s)
	if err != nil {
		return archive, err
	}
	if shared, is := s.home.(sharer); is {
		if err := shared.PullChains(ctx); err != nil {
			return archive, err
		}
	}
	a.sealPending(ctx, s)
	return archive, nil
}

// finishedRun gives the id of a run that is over; "latest" is the newest of them.
func (s *station) finishedRun(ctx context.Context, run string) (string, error) {
	runs, err := s.journal.Runs(ctx, journal.Query{})
	if err != nil {
		return "", err
	}
	for _, r := range runs {
		switch {
		case r.ID != run && run != "latest":
		case r.Finished.IsZero() && run != "latest":
			return "", usage("run "+run+" has not finished", "see: firedrill status")
		case !r.Finished.IsZero():
			return r.ID, nil
		}
	}
	if run == "latest" {
		return "", usage("no run has finished yet", "see: firedrill status")
	}
	return "", usage("there is no run "+run, "see: firedrill history")
}
