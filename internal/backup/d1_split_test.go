package backup

import (
	"bytes"
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
	"pgregory.net/rapid"

	"firedrill/internal/fingerprint"
)

func split(t *testing.T, text string, piece int) (statements []string, s *splitter, err error) {
	t.Helper()
	s = &splitter{statement: func(sql []byte, offset int64) error {
		statements = append(statements, string(sql))
		if !strings.HasPrefix(text[offset:], string(sql)) {
			t.Errorf("%q is not at offset %d of %q", sql, offset, text)
		}
		return nil
	}}
	for rest := text; len(rest) > 0 && err == nil; rest = rest[min(piece, len(rest)):] {
		_, err = s.Write([]byte(rest[:min(piece, len(rest))]))
	}
	return statements, s, err
}

func TestSQLIsTakenApart(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"": nil, " ; ;; -- ;\n /* ; */ ;": nil,
		"a;b ;\n c\t;":                                                      {"a", "b", "c"},
		"x ';' ';''' \";\" `;` [;] ;y;":                                     {"x ';' ';''' \";\" `;` [;]", "y"},
		"-- first;\na -- then;\n b /* ; */ c;":                              {"a -- then;\n b /* ; */ c"},
		"a - b; c / d; e -; f /;":                                           {"a - b", "c / d", "e -", "f /"},
		"/* */ /*/;*/ a;":                                                   {"a"},
		"CREATE TRIGGER t BEGIN a; b; END; c;":                              {"CREATE TRIGGER t BEGIN a; b; END", "c"},
		"create temp trigger t begin a;end ; c;":                            {"create temp trigger t begin a;end", "c"},
		"CREATE TRIGGER t BEGIN a;; END -- x\n; c;":                         {"CREATE TRIGGER t BEGIN a;; END -- x", "c"},
		"CREATE TRIGGER t WHEN CASE 1 END BEGIN SELECT CASE 1 END; END; c;": {"CREATE TRIGGER t WHEN CASE 1 END BEGIN SELECT CASE 1 END; END", "c"},
		"CREATE TABLE trigger(end); END;":                                   {"CREATE TABLE trigger(end)", "END"},
	} {
		for piece := 1; piece < 9; piece++ {
			got, s, err := split(t, text, piece)
			if err != nil || s.end() != nil {
				t.Errorf("%q: %v, %v", text, err, s.end())
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%q by %d: %s", text, piece, d)
			}
		}
	}
	for _, text := range []string{"a", "a;b", "'", "a; /* ", "CREATE TRIGGER t BEGIN a;", "-"} {
		_, s, err := split(t, text, 100)
		if err != nil || s.end() == nil {
			t.Errorf("%q: it ends inside of a statement (%v)", text, err)
		}
	}
	if _, _, err := split(t, "a"+strings.Repeat(" ", maxStatement)+";", 1000); err == nil {
		t.Error("a statement that is too long")
	}
	if got, _, err := split(t, strings.Repeat("x", maxStatement)+";", 1000); err != nil || len(got) != 1 {
		t.Errorf("the longest statement: %v", err)
	}
	if got, _, err := split(t, "-- "+strings.Repeat("x", 2*maxStatement)+"\na;", 1000); err != nil || len(got) != 1 {
		t.Errorf("a long comment before it: %v", err)
	}
	if _, _, err := split(t, "a\x00;", 1); err == nil {
		t.Error("a NUL")
	}
	if got := tokens("CREATE  /* x */ TABLE \"a\"\"b\"(c,'d;' ) -- y\n [e f]"); !cmp.Equal(got, []string{"CREATE", "TABLE", `"a""b"`, "(", "c", ",", "'d;'", ")", "[e f]"}) {
		t.Errorf("%q", got)
	}
}

// FuzzSplitLikeSQLite compares with sqlite3_complete: it must end a statement where
// we do.
func FuzzSplitLikeSQLite(f *testing.F) {
	for _, s := range []string{"a;", "create trigger t begin a; end;", "explain create temp trigger x begin ; ; end ;", "'a''b", "/* x */;", "--x\n;", "[a];", "CREATE TRIGGER;END;", "e/**/nd;", "x--", "x;--"} {
		f.Add(s, 3)
	}
	f.Fuzz(func(t *testing.T, text string, piece int) {
		if strings.ContainsRune(text, 0) || len(text) > 10_000 {
			return
		}
		piece = 1 + int(uint(piece)%50)
		statements, s, err := split(t, text, piece)
		if err != nil {
			t.Fatal(err)
		}
		tls := libc.NewTLS()
		defer tls.Close()
		sqlite := func(sql string) bool {
			c, err := libc.CString(sql)
			if err != nil {
				t.Fatal(err)
			}
			defer libc.Xfree(tls, c)
			return lib.Xsqlite3_complete(tls, c) != 0
		}
		complete := sqlite(text)
		if got := s.complete(); got != complete {
			t.Errorf("%q: complete %v, sqlite3 says %v", text, got, complete)
		}
		for _, one := range statements {
			if !sqlite(one + "\n;") {
				t.Errorf("%q of %q is no whole statement", one, text)
			}
			tokens(one)
		}
	})
}

func awkwardReals() []float64 {
	reals := []float64{0, math.Copysign(0, -1), 1, -1, 0.1, -0.1, 19.99, 1e22, 1e23, 1e15, 123456789.123456789, 1 / 3.0, math.Pi, math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64,
		2.2250738585072011e-308, 2.2250738585072014e-308, 5e-324 * 3, math.Inf(1), math.Inf(-1), 1 << 53, 1<<53 - 1, -(1 << 53), 1 << 62, 1 << 63, 9.5e18, 1e-5, 1e-7, 4.35, 0.3, 2.5, 1e300, 1e-300}
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		if v := math.Float64frombits(r.Uint64()); !math.IsNaN(v) {
			reals = append(reals, v)
		}
		reals = append(reals, r.Float64(), math.Round(r.Float64()*1e8)/100, r.NormFloat64()*1e6)
	}
	return reals
}

func TestLiteralsAreExact(t *testing.T) {
	t.Parallel()
	l, ctx := newLive(t).local, t.Context()
	reads := func(t interface{ Errorf(string, ...any) }, c fingerprint.Cell) {
		sql := AppendLiteral(nil, c)
		if len(sql) > literalSize(c) {
			t.Errorf("%s: %d bytes, at most %d expected", sql, len(sql), literalSize(c))
		}
		var got any
		if err := l.query(ctx, "SELECT "+string(sql), func(v []any) error { got = v[0]; return nil }); err != nil {
			t.Errorf("%s: %v", sql, err)
			return
		}
		same := false
		switch v := got.(type) {
		case nil:
			same = c.Type == fingerprint.Null
		case int64:
			same = c.Type == fingerprint.Integer && v == c.Int
		case float64:
			same = c.Type == fingerprint.Real && math.Float64bits(v) == math.Float64bits(c.Real)
		case string:
			same = c.Type == fingerprint.Text && v == string(c.Bytes)
		case []byte:
			same = c.Type == fingerprint.Blob && bytes.Equal(v, c.Bytes)
		}
		if !same {
			t.Errorf("%s gives %v", sql, got)
		}
	}
	for _, v := range awkwardReals() {
		reads(t, fingerprint.Cell{Type: fingerprint.Real, Real: v})
	}
	for _, n := range []int64{0, -1, math.MaxInt64, math.MinInt64, math.MinInt64 + 1, 1 << 53} {
		reads(t, fingerprint.Cell{Type: fingerprint.Integer, Int: n})
	}
	reads(t, fingerprint.Cell{Type: fingerprint.Null})
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "bytes")
		reads(t, fingerprint.Cell{Type: fingerprint.Text, Bytes: b})
		reads(t, fingerprint.Cell{Type: fingerprint.Blob, Bytes: b})
		reads(t, fingerprint.Cell{Type: fingerprint.Text, Bytes: []byte(rapid.String().Draw(t, "text"))})
		reads(t, fingerprint.Cell{Type: fingerprint.Integer, Int: rapid.Int64().Draw(t, "integer")})
		reads(t, fingerprint.Cell{Type: fingerprint.Real, Real: rapid.Float64().Draw(t, "real")})
	})
}

// TestDecimalsAreReadAlike computes as old readers do: with 64 bits of precision
// first, which is rounded twice.
func TestDecimalsAreReadAlike(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	sure := 0
	for range 100_000 {
		v := math.Round(r.Float64()*math.Pow10(r.IntN(14))) / math.Pow10(r.IntN(12))
		if v == math.Trunc(v) || !sureDecimal(v) {
			continue
		}
		sure++
		whole, decimals, _ := strings.Cut(strconv.FormatFloat(v, 'f', -1, 64), ".")
		m, _ := new(big.Float).SetPrec(64).SetString(whole + decimals)
		ten, _ := new(big.Float).SetPrec(64).SetString("1" + strings.Repeat("0", len(decimals)))
		if got, _ := new(big.Float).SetPrec(64).Quo(m, ten).Float64(); got != v {
			t.Errorf("%v is read as %v", v, got)
		}
	}
	if sure < 30_000 {
		t.Errorf("only %d decimals", sure)
	}
}

func FuzzDecodeCell(f *testing.F) {
	for _, c := range []fingerprint.Cell{{Type: fingerprint.Null}, {Type: fingerprint.Integer, Int: -5}, {Type: fingerprint.Real, Real: 1.5}, {Type: fingerprint.Text, Bytes: []byte("x")}, {Type: fingerprint.Blob}} {
		f.Add(c.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, ok := decodeCell(b); ok && !bytes.Equal(c.Append(nil), b) {
			t.Errorf("%x decodes to %v, which is another cell", b, c)
		}
	})
}
