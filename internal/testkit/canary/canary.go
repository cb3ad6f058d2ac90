// Package canary finds secrets where they must not be. Tests put texts that stand
// nowhere else into every secret that there is, and search what is written for them,
// in all the ways in which a text could stand there.
package canary

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Forms are the ways in which a text could stand somewhere, by what they are called.
func Forms(text string) map[string]string {
	all := map[string]string{"plain": text, "in a query": url.QueryEscape(text), "in a path": url.PathEscape(text),
		"hexadecimal": hex.EncodeToString([]byte(text)), "HEXADECIMAL": strings.ToUpper(hex.EncodeToString([]byte(text)))}
	// In base64 a text looks different by where it begins; what is cut off here is
	// mixed with its neighbours.
	for shift := range 3 {
		for name, enc := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64 for addresses": base64.RawURLEncoding} {
			coded := enc.EncodeToString(append(make([]byte, shift), text...))
			all[fmt.Sprintf("%s, shifted by %d", name, shift)] = coded[(shift*4+2)/3 : len(coded)-2]
		}
	}
	return all
}

// Search fails where data holds a canary; canaries are named by what they are.
func Search(t testing.TB, where string, data []byte, canaries map[string]string) {
	t.Helper()
	for name, text := range canaries {
		for form, coded := range Forms(text) {
			if bytes.Contains(data, []byte(coded)) {
				t.Errorf("%s holds %s (%s)", where, name, form)
			}
		}
	}
}

// SearchFolder searches all files below a folder, save those that may hold them, and
// gives how many it searched. A file that goes meanwhile was not there.
func SearchFolder(t testing.TB, dir string, canaries map[string]string, may func(path string) bool) (files int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || may(path) {
			return err
		}
		data, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil
		}
		files++
		Search(t, path, data, canaries)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return files
}
