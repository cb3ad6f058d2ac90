package fingerprint

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
)

// Sum is a SHA-256 hash, or a sum of such hashes modulo 2^256.
type Sum [sha256.Size]byte

// Add gives the sum of two sums modulo 2^256.
func (s Sum) Add(t Sum) Sum {
	var carry uint64
	for i := len(s) - 8; i >= 0; i -= 8 {
		var word uint64
		word, carry = bits.Add64(binary.BigEndian.Uint64(s[i:]), binary.BigEndian.Uint64(t[i:]), carry)
		binary.BigEndian.PutUint64(s[i:], word)
	}
	return s
}

// String gives 64 hexadecimal digits.
func (s Sum) String() string { return hex.EncodeToString(s[:]) }

// MarshalText writes 64 hexadecimal digits.
func (s Sum) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads exactly 64 hexadecimal digits.
func (s *Sum) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil {
		return fmt.Errorf("a digest is not hexadecimal: %w", err)
	}
	if len(b) != len(s) {
		return fmt.Errorf("a digest has %d bytes, not %d", len(b), len(s))
	}
	copy(s[:], b)
	return nil
}

// Sum is the hash of a row, as it stands in [Entry.Hash]: what the row adds to
// the digest of its table.
func (r Row) Sum() Sum {
	var h hasher
	return h.row(r)
}

// hasher hashes rows and keeps the memory that it needs for one.
type hasher struct{ buffer []byte }

// row hashes a row: its key, the number of its cells, and its cells.
func (h *hasher) row(row Row) Sum {
	b := binary.BigEndian.AppendUint64(append(h.buffer[:0], byte(Text)), uint64(len(row.Key)))
	b = append(b, row.Key...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(row.Cells)))
	for _, c := range row.Cells {
		b = c.Append(b)
	}
	h.buffer = b
	return sha256.Sum256(b)
}

// HashText hashes texts of a schema so that no two lists of texts collide.
func HashText(texts ...string) Sum {
	var b []byte
	for _, t := range texts {
		b = Cell{Type: Text, Bytes: []byte(t)}.Append(b)
	}
	return sha256.Sum256(b)
}
