package report

import (
	"regexp"
	"strings"
	"testing"
)

func TestMarkdownMeansTheTextItself(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"3,204 of 3,204 rows equal": "3,204 of 3,204 rows equal",
		"audit_log and _this_":      `audit_log and \_this\_`,
		"<script>":                  `\<script>`,
		"# a | b":                   `\# a \| b`,
		"1. first":                  `1\. first`,
		"3.5 s":                     "3.5 s",
		"a & b &lt;":                `a & b \&lt;`,
		"- [x] done":                `\- \[x\] done`,
		"two\n lines\t":             "two lines",
		"\u202ereversed\x1b[31m":    `reversed\[31m`,
	} {
		if got := markdown(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{"ls -l": "`ls -l`", "a `b` c": "``a `b` c``", "`": "`` ` ``", "a\nb": "`a b`"} {
		if got := code(text); got != want {
			t.Errorf("code %q becomes %q, want %q", text, got, want)
		}
	}
}

// FuzzMarkdown: whatever a text holds, it stays on its line and is no markup.
func FuzzMarkdown(f *testing.F) {
	for _, seed := range []string{"plain", "# heading", "- [x] b", "a\n### c", "<script>", "`code", "1) one", "_c_ **d** [e](f) |g|", "&lt; \\ ~~x~~", "\xff\x00\u202e", "\\"} {
		f.Add(seed)
	}
	pair := regexp.MustCompile(`\\.`) // an escaped character
	start := regexp.MustCompile(`^([-#>+=]|\d{1,9}[.)] )`)
	f.Fuzz(func(t *testing.T, text string) {
		got := markdown(text)
		if rest := pair.ReplaceAllString(got, "x"); strings.ContainsAny(rest, "\n\r`*[]<|~\\") || start.MatchString(rest) {
			t.Fatalf("%q becomes %q", text, got)
		}
		if c := code(text); strings.ContainsAny(c, "\n\r") || !strings.HasPrefix(c, "`") || !strings.HasSuffix(c, "`") {
			t.Fatalf("%q becomes the code %q", text, c)
		}
	})
}
