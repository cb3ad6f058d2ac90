package say

import (
	"testing"
	"time"
)

func TestNumbersReadWell(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		Seconds(0):                        "0 s",
		Seconds(0.0004):                   "1 ms",
		Seconds(0.031):                    "31 ms",
		Seconds(0.24):                     "0.24 s",
		Seconds(12.34):                    "12.3 s",
		Seconds(125):                      "2 min 5 s",
		Duration(15 * time.Minute):        "15 min",
		Duration(90 * time.Minute):        "1 h 30 min",
		Duration(1500 * time.Millisecond): "1.5 s",
		Duration(30 * time.Second):        "30 s",
		Count(3204):                       "3,204",
		Count(-1234567):                   "-1,234,567",
		Count(999):                        "999",
		Plural(1, "row"):                  "1 row",
		Plural(3204, "row"):               "3,204 rows",
		Ago(10 * time.Second):             "just now",
		Ago(3*time.Hour + 5*time.Minute):  "3 h ago",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
