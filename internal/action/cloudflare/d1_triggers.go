package cloudflare

import "strings"

// triggerTargets gives the tables, in lower case, into which some trigger of
// the schema inserts rows.
func (s schema) triggerTargets() map[string]bool {
	out := map[string]bool{}
	for _, o := range s.Objects {
		if o.Type != "trigger" {
			continue
		}
		words := tokens(o.SQL)
		for i := range words {
			if words[i] != "insert" && words[i] != "replace" {
				continue
			}
			// INSERT [OR x] INTO name, REPLACE INTO name; a schema's name may stand in front.
			for j := i + 1; j < len(words) && j < i+4; j++ {
				if words[j] == "into" && j+1 < len(words) {
					target := words[j+1]
					if j+3 < len(words) && words[j+2] == "." {
						target = words[j+3]
					}
					out[target] = true
					break
				}
			}
		}
	}
	return out
}

// tokens splits SQL into words in lower case. Names lose their quotes, texts
// become one empty word, comments vanish, anything else is one sign a word.
func tokens(sql string) []string {
	var out []string
	for i := 0; i < len(sql); {
		c := sql[i]
		switch {
		case c == '-' && strings.HasPrefix(sql[i:], "--"):
			end := strings.IndexByte(sql[i:], '\n')
			if end < 0 {
				return out
			}
			i += end + 1
		case c == '/' && strings.HasPrefix(sql[i:], "/*"):
			end := strings.Index(sql[i+2:], "*/")
			if end < 0 {
				return out
			}
			i += end + 4
		case c == '\'' || c == '"' || c == '`' || c == '[':
			word, n := quotedToken(sql[i:])
			if c == '\'' {
				word = ""
			}
			out = append(out, strings.ToLower(word))
			i += n
		case isWord(c):
			n := i
			for n < len(sql) && isWord(sql[n]) {
				n++
			}
			out = append(out, strings.ToLower(sql[i:n]))
			i = n
		case c <= ' ':
			i++
		default:
			out = append(out, string(c))
			i++
		}
	}
	return out
}

func isWord(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// quotedToken reads a quoted name or text; a quote inside is written twice.
func quotedToken(s string) (word string, length int) {
	closing := s[0]
	if closing == '[' {
		closing = ']'
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != closing {
			b.WriteByte(s[i])
			continue
		}
		if closing != ']' && i+1 < len(s) && s[i+1] == closing {
			b.WriteByte(closing)
			i++
			continue
		}
		return b.String(), i + 1
	}
	return b.String(), len(s)
}
