package canary

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// found is a test that only counts what it is told.
type found struct {
	testing.TB
	n int
}

func (f *found) Helper()               {}
func (f *found) Errorf(string, ...any) { f.n++ }
func (f *found) Error(...any)          { f.n++ }

func TestATextIsFoundInEachForm(t *testing.T) {
	t.Parallel()
	const text = "cnry+x/1=2"
	for name, data := range map[string]string{
		"as it is": "a " + text + " b", "in an address": "?q=cnry%2Bx%2F1%3D2&", "in hexadecimal": fmt.Sprintf("%x", "xx"+text), "in capitals": fmt.Sprintf("%X", text+"yy"),
		"in base64": base64.StdEncoding.EncodeToString([]byte(text + " more")), "in base64, later": base64.StdEncoding.EncodeToString([]byte("a" + text + " more")),
		"in base64, later still": base64.URLEncoding.EncodeToString([]byte("ab" + text + "!")),
	} {
		f := &found{}
		Search(f, "here", []byte(data), map[string]string{"it": text})
		if f.n == 0 {
			t.Errorf("%s it is not found: %s", name, data)
		}
	}
	f := &found{}
	if Search(f, "here", []byte(strings.Repeat("cnry+x/1=3 ", 9)), map[string]string{"it": text}); f.n != 0 {
		t.Error("it is found where it is not")
	}
}

func TestAFolderIsSearched(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"a": "x", "kept": "cnry-1", "b": "cnry-1"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := &found{}
	n := SearchFolder(f, dir, map[string]string{"it": "cnry-1"}, func(path string) bool { return filepath.Base(path) == "kept" })
	if n != 2 || f.n == 0 {
		t.Errorf("%d files, %d found", n, f.n)
	}
}
