package backup_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"firedrill/internal/backup"
	"firedrill/internal/backup/placetest"
)

func TestFolderIsAPlace(t *testing.T) {
	t.Parallel()
	placetest.Run(t, func(t *testing.T) backup.Place {
		return backup.Folder(filepath.Join(t.TempDir(), "not", "made", "yet"))
	})
}

func TestFolderNamesFilesAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "deeper"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"file", "cut-off.tmp", filepath.Join("deeper", "file")} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	names, err := backup.Folder(dir).Names(t.Context())
	if err != nil || len(names) != 1 || names[0] != "file" {
		t.Errorf("names: %q, %v", names, err)
	}
}

// TestFolderForgetsWhatWasCutOff writes a file of which a crash left more than
// the new one has.
func TestFolderForgetsWhatWasCutOff(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file.tmp"), []byte("a long beginning"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := backup.Folder(dir).Create(t.Context(), "file")
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write([]byte("short"))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "file")); err != nil || string(got) != "short" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestFolderFailsForGood breaks the last step of a file: a second Close must
// not say that it is there.
func TestFolderFailsForGood(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := backup.Folder(dir).Create(t.Context(), "file")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "file"), 0o700); err != nil { // the name is taken
		t.Fatal(err)
	}
	for range 2 {
		if err := f.Close(); err == nil {
			t.Error("close says that the file is there")
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
