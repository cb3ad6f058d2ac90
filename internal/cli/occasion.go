package cli

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"firedrill"
)

// occasionOptions are the flags by which a person says what a run is for. They are
// part of its records, and so of its evidence.
type occasionOptions firedrill.Occasion

func (o *occasionOptions) flags(c *cobra.Command) {
	c.Flags().StringVar(&o.Note, "note", "", "`TEXT` for the evidence: what the run is for, who watches")
	c.Flags().StringVar(&o.Ticket, "ticket", "", "`ID` of the ticket or change that it belongs to, for the evidence")
	c.Flags().StringVar(&o.Approver, "approver", "", "`NAME` of who approved it, for the evidence")
}

// occasion gives what was said, nil if nothing was.
func (o occasionOptions) occasion() (*firedrill.Occasion, error) {
	for flag, text := range map[string]string{"--note": o.Note, "--ticket": o.Ticket, "--approver": o.Approver} {
		if err := checkWords(flag, text); err != nil {
			return nil, err
		}
	}
	if o == (occasionOptions{}) {
		return nil, nil //nolint:nilnil // most runs have none
	}
	said := firedrill.Occasion(o)
	return &said, nil
}

// maxWords bounds what a person says: evidence holds it for ever.
const maxWords = 4000

// checkWords refuses what no reader of evidence should be shown.
func checkWords(what, text string) error {
	strange := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }
	switch {
	case utf8.RuneCountInString(text) > maxWords:
		return usage(fmt.Sprintf("%s has %d characters, more than %d", what, utf8.RuneCountInString(text), maxWords), "say it shorter, and name where the rest is")
	case !utf8.ValidString(text), strings.ContainsFunc(text, strange):
		return usage(what+" holds control characters", "give plain text")
	}
	return nil
}
