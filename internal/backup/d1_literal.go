package backup

import (
	"bytes"
	"encoding/hex"
	"math"
	"strconv"
	"unicode/utf8"

	"firedrill/internal/fingerprint"
)

// AppendLiteral adds the SQL of a value: every SQLite reads exactly that value
// from it, also the shell, which changes line ends in what it reads.
func AppendLiteral(b []byte, c fingerprint.Cell) []byte {
	switch c.Type {
	case fingerprint.Integer:
		if c.Int == math.MinInt64 { // not every reader of SQL knows it as an integer
			return append(b, "(-9223372036854775807-1)"...)
		}
		return strconv.AppendInt(b, c.Int, 10)
	case fingerprint.Real:
		return appendReal(b, c.Real)
	case fingerprint.Text:
		if !plain(c.Bytes) {
			b = append(b, "CAST("...)
			return append(appendHex(b, c.Bytes), " AS TEXT)"...)
		}
		b = append(b, '\'')
		for _, x := range c.Bytes {
			if x == '\'' {
				b = append(b, x)
			}
			b = append(b, x)
		}
		return append(b, '\'')
	case fingerprint.Blob:
		return appendHex(b, c.Bytes)
	}
	return append(b, "NULL"...)
}

// plain tells whether a text can stand between quotes: SQL ends at a NUL, and the
// shell makes one line end of carriage return and line feed.
func plain(text []byte) bool {
	return utf8.Valid(text) && bytes.IndexByte(text, 0) < 0 && bytes.IndexByte(text, '\r') < 0
}

func appendHex(b, value []byte) []byte {
	b = append(b, "x'"...)
	b = hex.AppendEncode(b, value)
	return append(b, '\'')
}

const (
	exactDigits  = 15 // decimals of so few digits …
	exactPower   = 22 // … below such a power of ten are read with one rounding
	largestPower = 62 // of two, in an integer
)

// appendReal writes a real. Readers of SQL differ in the last bit of what they
// make of many decimals. So a decimal is written only where every reader must
// come to the same value; others as an integer times or through powers of two,
// which is exact everywhere.
func appendReal(b []byte, v float64) []byte {
	abs := math.Abs(v)
	switch {
	case math.IsInf(v, 1):
		return append(b, "9e999"...)
	case math.IsInf(v, -1):
		return append(b, "-9e999"...)
	case abs < 1<<53 && abs == math.Trunc(abs): // -0.0 too
		return append(strconv.AppendFloat(b, v, 'f', -1, 64), ".0"...)
	case sureDecimal(abs):
		return strconv.AppendFloat(b, v, 'f', -1, 64)
	}
	fraction, exponent := math.Frexp(abs)
	m, e := int64(fraction*(1<<53)), exponent-53
	for m%2 == 0 {
		m, e = m/2, e+1
	}
	if v < 0 {
		b = append(b, '-')
	}
	b = strconv.AppendInt(append(b, "1.0*"...), m, 10)
	sign := byte('*')
	if e < 0 {
		sign, e = '/', -e
	}
	for e > 0 {
		n := min(e, largestPower)
		b = strconv.AppendInt(append(b, sign), 1<<n, 10)
		e -= n
	}
	return b
}

// sureDecimal tells whether the shortest decimal of a value is read alike
// everywhere: few digits, and not near the middle between two values.
func sureDecimal(v float64) bool {
	s := strconv.FormatFloat(v, 'e', -1, 64)
	mantissa, digits, i := int64(0), 0, 0
	for ; i < len(s) && s[i] != 'e'; i++ {
		if s[i] != '.' {
			mantissa = mantissa*10 + int64(s[i]-'0')
			digits++
		}
		if digits > exactDigits {
			return false
		}
	}
	exponent, err := strconv.Atoi(s[i+1:])
	power := digits - 1 - exponent
	if err != nil || power < 1 || power > exactPower {
		return false
	}
	ten := math.Pow10(power)
	off := math.FMA(-v, ten, float64(mantissa)) // exact but for one rounding
	ulp := math.Nextafter(v, math.Inf(1)) - v
	return math.Abs(off) < 0.45*ulp*ten
}
