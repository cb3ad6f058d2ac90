package evidence

import (
	"bytes"
	"testing"
	"testing/fstest"
)

func FuzzEntryName(f *testing.F) {
	for _, s := range []string{"00000001-run-01ABC.json", "00000000-run-a.json", "123456789-ack-a.b.json", "00000001-run-../x.json"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if e, ok := ParseEntry(name); ok && (e.String() != name || e.Sequence < 1) {
			t.Errorf("%q is read as %+v", name, e)
		}
	})
}

func FuzzAnchors(f *testing.F) {
	k := "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"
	f.Add("# kept here\n\n" + anchorWord + k + " 12 " + k + " 2026-01-31T12:00:00Z\n")
	f.Add(anchorWord + k + " 012 " + k + " 2026-01-31T12:00:00Z\n")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := ParseAnchors(text)
		if err != nil {
			return
		}
		var again bytes.Buffer
		for _, a := range all {
			again.WriteString(a.String() + "\n")
		}
		if back, err := ParseAnchors(again.String()); err != nil || len(back) != len(all) {
			t.Errorf("%q is read as %q, and that is not: %v", text, &again, err)
		}
	})
}

// FuzzVerify puts anything in the place of an entry, a key and the word of an export.
// Nothing but what was signed passes.
func FuzzVerify(f *testing.F) {
	a := chainOf(f, 1)
	whole := load(f, a.Dir)
	entry := a.entryFile(1, KindRun, runName(1))
	key := "evidence/" + a.Signer.Key().ID() + "/key.pub"
	f.Add(whole[entry].Data, whole[key].Data, []byte{})
	f.Add([]byte("{}"), []byte("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"), []byte(`{"signatures":[{"keyid":"`+a.Signer.Key().ID()+`"}]}`))
	f.Fuzz(func(t *testing.T, e, k, x []byte) {
		m := fstest.MapFS{}
		for name, file := range whole {
			m[name] = file
		}
		m[entry], m[key] = &fstest.MapFile{Data: e, Mode: 0o600}, &fstest.MapFile{Data: k, Mode: 0o600}
		same := bytes.Equal(e, whole[entry].Data) && bytes.Equal(k, whole[key].Data)
		if len(x) > 0 {
			m["evidence/export.json"], same = &fstest.MapFile{Data: x, Mode: 0o600}, false
		}
		r, err := Verify(m, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if same != (len(r.Findings) == 0) {
			t.Errorf("%v: %+v", same, r.Findings)
		}
	})
}
