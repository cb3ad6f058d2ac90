package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"firedrill"
	"firedrill/internal/fingerprint"
)

// The names in a backup's folder.
const (
	ManifestName = "manifest.json"
	progressName = "progress.json" // only while the backup is being written
)

// Format and Version say how to read a backup. A reader refuses a newer one.
const (
	Format  = "firedrill-backup"
	Version = 1
)

// KindKV is a backup of a KV namespace.
const KindKV = "kv"

// Manifest describes a complete backup. A folder without one is none.
type Manifest struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	Kind    string `json:"kind"`
	Source  Source `json:"source"`
	// A namespace has no snapshot: each key is as it was at one moment between
	// Started and Finished, and not all at the same.
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	Snapshot bool      `json:"snapshot"`
	Keys     int64     `json:"keys"`
	Bytes    int64     `json:"bytes"` // of values
	// Digest is the sum of the digests of all entries; their order is not in it.
	Digest fingerprint.Sum `json:"digest"`
	Parts  []Part          `json:"parts"`
	// Vanished are keys that were listed and then not there to be read.
	Vanished []string `json:"vanished,omitempty"`
	// Changed are keys whose metadata or expiration changed between the list
	// and the reading; what was read last is in the backup.
	Changed []string `json:"changed,omitempty"`
	Tool    string   `json:"tool"`
}

// Source says what was backed up.
type Source struct {
	API       string `json:"api"`
	Account   string `json:"account"`
	Namespace string `json:"namespace"` // id
	Title     string `json:"title,omitempty"`
}

// Part is one file of a backup.
type Part struct {
	File   string `json:"file"`
	SHA256 string `json:"sha256"`
	Bytes  int64  `json:"bytes"`
	Keys   int    `json:"keys"`
	First  string `json:"first"` // key
	Last   string `json:"last"`
}

// ReadManifest reads the manifest of a backup. A folder without one, or with
// one of a newer version, is refused.
func ReadManifest(dir string) (Manifest, error) {
	var m Manifest
	path := filepath.Join(dir, ManifestName)
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Stat(filepath.Join(dir, progressName)); err == nil {
			return m, corrupt(dir, "the backup was not finished", "finish it: give the same backup command again")
		}
		return m, &firedrill.Error{Op: "read the backup", Kind: firedrill.KindNotFound, Target: dir, Detail: "there is no " + ManifestName, Remedy: "name the folder of a backup"}
	case err != nil:
		return m, storage("read the backup", path, err)
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, corrupt(path, "it is not the JSON expected: "+err.Error(), "use another backup")
	}
	switch {
	case m.Format != Format:
		return m, corrupt(path, fmt.Sprintf("its format is %q, not %q", m.Format, Format), "name the folder of a backup")
	case m.Version < 1 || m.Version > Version:
		return m, &firedrill.Error{Op: "read the backup", Kind: firedrill.KindUnsupported, Target: path, Detail: fmt.Sprintf("it has version %d, this program reads up to %d", m.Version, Version), Remedy: "use a newer firedrill"}
	case m.Kind != KindKV:
		return m, &firedrill.Error{Op: "read the backup", Kind: firedrill.KindUnsupported, Target: path, Detail: fmt.Sprintf("it is of kind %q", m.Kind), Remedy: "use a newer firedrill"}
	}
	for _, p := range m.Parts {
		if p.File == "" || p.File != filepath.Base(p.File) {
			return m, corrupt(path, fmt.Sprintf("the name %q of a part leads out of the folder", p.File), "use another backup")
		}
	}
	return m, nil
}

// writeFile writes a private file so that a crash leaves the old or the new one.
func writeFile(path string, data []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func writeJSON(path string, x any) error {
	data, err := json.MarshalIndent(x, "", "  ")
	if err == nil {
		err = writeFile(path, append(data, '\n'))
	}
	if err != nil {
		return storage("write the backup", path, err)
	}
	return nil
}
