package drplan

import (
	"regexp"
	"strings"
	"time"
)

var (
	failsOver    = regexp.MustCompile(`(?i)\b(?:fail(?:s|ed|ing)?[ -]?over|traffic moves|switch(?:es|over)?)\b`)
	interval     = regexp.MustCompile(`(?i)\binterval\b\D{0,20}?` + lasting + `|\bevery ` + lasting)
	patience     = regexp.MustCompile(`(?i)\btime-?out\b\D{0,20}?` + lasting)
	checksHealth = regexp.MustCompile(`(?i)\b(?:health|monitor|probe|check)`)
	backsUp      = regexp.MustCompile(`(?i)\b(?:backups?|back(?:ed|s)? up|exports?|exported|snapshots?)\b`)
	howOften     = regexp.MustCompile(`(?i)\b(hourly|daily|nightly|weekly|monthly)\b|\bevery ` + lasting)
)

// targetCannotHold finds targets that arithmetic rules out.
func targetCannotHold(r *reading) (all []Finding) {
	for _, u := range r.units {
		all = append(all, keyByKey(r, u)...)
		all = append(all, slowerThanDetection(r, u)...)
		all = append(all, rarerThanLoss(r, u)...)
	}
	return all
}

// keyByKey finds restores that start a program for each key within a time.
func keyByKey(r *reading, u unit) []Finding {
	target, line := r.target(u, timeTarget)
	for _, c := range u.calls {
		if c.is("kv", "key") && c.looped && target > 0 {
			return []Finding{found(line, "line %d starts wrangler for each key, a second or more each: in %s it restores %d keys at most", c.line, inWords(target), int(target/aKey))}
		}
	}
	return nil
}

// slowerThanDetection finds failovers that are promised sooner than the health checks
// can see that something is wrong.
func slowerThanDetection(r *reading, u unit) []Finding {
	var every, wait, promised time.Duration
	at := 0
	for _, line := range u.lines {
		text := r.lineText(line)
		if m := interval.FindStringSubmatch(text); m != nil && checksHealth.MatchString(text) {
			every = max(every, firstDuration(m[1:]))
		}
		if m := patience.FindStringSubmatch(text); m != nil {
			wait = max(wait, firstDuration(m[1:]))
		}
		if m := bounded.FindStringSubmatch(text); m != nil && failsOver.MatchString(text) && at == 0 && !interval.MatchString(text) {
			promised, at = firstDuration(m[1:]), line
		}
	}
	if promised == 0 || every == 0 || every+wait < promised {
		return nil
	}
	return []Finding{found(at, "a failover in %s is promised, but up to %s pass until the next health check, and %s until it gives up: detection alone takes longer", inWords(promised), inWords(every), inWords(wait))}
}

// rarerThanLoss finds backups that are rarer than what may be lost.
func rarerThanLoss(r *reading, u unit) []Finding {
	target, line := r.target(u, lossTarget)
	if target == 0 {
		return nil
	}
	for _, l := range u.lines {
		text := r.lineText(l)
		m := howOften.FindStringSubmatch(text)
		if m == nil || !backsUp.MatchString(text) {
			continue
		}
		day := 24 * time.Hour
		every := map[string]time.Duration{"hourly": time.Hour, "daily": day, "nightly": day, "weekly": 7 * day, "monthly": 30 * day}[strings.ToLower(m[1])]
		if every == 0 {
			every = firstDuration(m[2:])
		}
		if every > target {
			return []Finding{found(line, "a loss of %s at most is promised, but line %d backs up every %s", inWords(target), l, inWords(every))}
		}
	}
	return nil
}

// firstDuration reads the first number with a unit among the groups of a match.
func firstDuration(groups []string) time.Duration {
	for i := 0; i+1 < len(groups); i += 2 {
		if d, ok := duration(groups[i], groups[i+1]); groups[i] != "" && ok {
			return d
		}
	}
	return 0
}

func inWords(d time.Duration) string { return seconds(d.Seconds()) }
