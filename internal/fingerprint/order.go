package fingerprint

import (
	"bytes"
	"cmp"
	"slices"
)

// The collations of SQLite, by which texts are in order.
const (
	Binary = "BINARY"
	NoCase = "NOCASE" // the letters A to Z are like a to z
	RTrim  = "RTRIM"  // spaces at the end do not count
)

// KnownCollation tells whether the order of texts under a collation is known.
func KnownCollation(name string) bool { return name == Binary || name == NoCase || name == RTrim }

// comparePositions compares two positions as SQLite does. They are as long as the
// list of collations.
func comparePositions(collations []string, a, b []Cell) int {
	for i, name := range collations {
		if c := compareCells(name, a[i], b[i]); c != 0 {
			return c
		}
	}
	return 0
}

func compareCells(collation string, a, b Cell) int {
	if c := cmp.Compare(class(a), class(b)); c != 0 {
		return c
	}
	switch {
	case a.Type == Integer && b.Type == Integer:
		return cmp.Compare(a.Int, b.Int)
	case a.Type == Real && b.Type == Real:
		return cmp.Compare(a.Real, b.Real)
	case a.Type == Integer && b.Type == Real:
		return compareMixed(a.Int, b.Real)
	case a.Type == Real && b.Type == Integer:
		return -compareMixed(b.Int, a.Real)
	case a.Type == Text:
		return bytes.Compare(collated(collation, a.Bytes), collated(collation, b.Bytes))
	case a.Type == Blob:
		return bytes.Compare(a.Bytes, b.Bytes)
	}
	return 0
}

// class is the place of a type in the order: NULL, numbers, texts, blobs.
func class(c Cell) int {
	switch c.Type {
	case Integer, Real:
		return 1
	case Text:
		return 2
	case Blob:
		return 3
	}
	return 0
}

// compareMixed compares an integer with a real exactly: turned into a real, an
// integer beyond 2^53 would be another one.
func compareMixed(i int64, r float64) int {
	const limit = 1 << 63
	switch {
	case r >= limit:
		return -1
	case r < -limit:
		return 1
	}
	whole := int64(r)
	if c := cmp.Compare(i, whole); c != 0 {
		return c
	}
	return cmp.Compare(float64(whole), r)
}

// collated gives the bytes by which a text is in order.
func collated(collation string, text []byte) []byte {
	switch collation {
	case NoCase:
		folded := slices.Clone(text)
		for i, c := range folded {
			if c >= 'A' && c <= 'Z' {
				folded[i] = c | 0x20
			}
		}
		return folded
	case RTrim:
		return bytes.TrimRight(text, " ")
	}
	return text
}
