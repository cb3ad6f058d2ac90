package http

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"firedrill"
	"firedrill/internal/action"
)

type getOut struct {
	Status int64  `json:"status" doc:"status"`
	Body   string `json:"body" doc:"the answer's text"`
	Digest string `json:"digest" doc:"SHA-256 of the answer"`
}

func (p *pack) get() firedrill.Action {
	const name = "http.get"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Repair: curl,
		Doc: "Send one request and give the answer, whatever it is. Redirects are not followed."},
		func(ctx context.Context, _ firedrill.Call, in Probe) (action.Result[getOut], error) {
			a, err := p.ask(ctx, in)
			return action.Result[getOut]{Out: getOut{int64(a.status), string(a.body), a.digest()}, Summary: fmt.Sprintf("%s answered %d", in.name(), a.status)}, err
		})
}

func (p *pack) expect() firedrill.Action {
	const name = "http.expect"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Repair: curl,
		Doc: "Send one request and fail unless the answer has the declared status, JSON and text."},
		func(ctx context.Context, _ firedrill.Call, in Probe) (action.Result[getOut], error) {
			var res action.Result[getOut]
			a, err := p.ask(ctx, in)
			if err != nil {
				return res, err
			}
			res.Out = getOut{int64(a.status), string(a.body), a.digest()}
			check := firedrill.Check{OK: true, Compared: 1, Detail: in.name() + " as declared"}
			if err := in.check(a); err != nil {
				check.OK, check.Detail = false, in.name()+": "+err.Error()
			}
			res.Checks = []firedrill.Check{check}
			res.Summary = fmt.Sprintf("%s answered %d as declared", in.name(), a.status)
			return res, nil
		})
}

// curl is the command by which a person sends the same request. Secrets stay
// references: the shell fills them in.
func curl(in firedrill.Values) string {
	var pr Probe
	if err := in.Into(&pr); err != nil {
		return ""
	}
	words := []string{"curl", "-fsS"}
	if pr.Method != "" {
		words = append(words, "-X", shell(pr.Method))
	}
	for _, name := range slices.Sorted(maps.Keys(pr.Headers)) {
		switch v := pr.Headers[name].(type) {
		case string:
			words = append(words, "-H", shell(name+": "+v))
		case map[string]any:
			var s action.Secret
			if err := firedrill.Values(v).Into(&s); err != nil {
				return ""
			}
			words = append(words, "-H", shell(name+": ")+filledIn(s))
		}
	}
	return strings.Join(append(words, shell(pr.URL)), " ")
}

// filledIn is a secret as a shell finds it.
func filledIn(s action.Secret) string {
	switch {
	case s.Env != "":
		return `"$` + s.Env + `"`
	case s.File != "":
		return `"$(cat ` + shell(s.File) + `)"`
	}
	var words []string
	for _, w := range s.Command {
		words = append(words, shell(w))
	}
	return `"$(` + strings.Join(words, " ") + `)"`
}

// shell quotes a word for a shell.
func shell(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }
