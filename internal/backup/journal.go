package backup

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"firedrill"
)

// Journal remembers in a file which parts of a backup a restore has written, so
// that a restore that was cut off is gone on with. It is a note for whoever goes
// on, not a proof: after every restore the target is compared with the backup.
// A nil journal remembers nothing.
type Journal struct {
	path   string
	target string
	mode   Mode
	state  journalState
}

type journalState struct {
	Version int    `json:"version"`
	Backup  string `json:"backup"` // digest
	Target  string `json:"target"`
	Mode    Mode   `json:"mode"`
	// Empty tells that there was nothing in the target when the restore began.
	Empty bool            `json:"empty"`
	Parts map[string]bool `json:"parts"` // by their checksums
}

// OpenJournal reads the journal of a restore into a target, or begins one.
func OpenJournal(path, target string, mode Mode) (*Journal, error) {
	j := &Journal{path: path, target: target, mode: mode}
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return j, nil
	case err != nil:
		return nil, storage("restore", path, err)
	}
	if j.state, err = decodeJournal(data); err != nil {
		return nil, &firedrill.Error{Op: "restore", Kind: firedrill.KindCorrupt, Target: path, Err: err, Remedy: "remove the file: the restore then begins again"}
	}
	return j, nil
}

func decodeJournal(data []byte) (journalState, error) {
	var s journalState
	if err := json.Unmarshal(data, &s); err != nil {
		return journalState{}, err
	}
	if s.Parts == nil {
		return journalState{}, errors.New("it does not say which parts were written")
	}
	return s, nil
}

// of tells whether the journal is of a restore of this backup into this target.
func (j *Journal) of(b *Backup) bool {
	return j != nil && j.state.Version == 1 && j.state.Backup == b.Manifest.Digest.String() && j.state.Target == j.target && j.state.Mode == j.mode
}

// beganEmpty tells whether a restore of this backup was cut off that had begun
// with an empty target: what is in it now may be its own.
func (j *Journal) beganEmpty(b *Backup) bool { return j.of(b) && j.state.Empty }

func (j *Journal) begin(b *Backup, empty bool) error {
	if j == nil || j.of(b) {
		return nil
	}
	j.state = journalState{Version: 1, Backup: b.Manifest.Digest.String(), Target: j.target, Mode: j.mode, Empty: empty, Parts: map[string]bool{}}
	return j.write()
}

func (j *Journal) has(p Part) bool { return j != nil && j.state.Parts[p.SHA256] }

// did notes that a part was written.
func (j *Journal) did(p Part) error {
	if j == nil {
		return nil
	}
	j.state.Parts[p.SHA256] = true
	return j.write()
}

// end forgets: the restore is over.
func (j *Journal) end() error {
	if j == nil {
		return nil
	}
	j.state = journalState{}
	if err := os.Remove(j.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return storage("restore", j.path, err)
	}
	return nil
}

func (j *Journal) write() error {
	data, err := json.Marshal(j.state)
	if err != nil {
		return err
	}
	folder := Folder(filepath.Dir(j.path))
	file, err := folder.Create(context.Background(), filepath.Base(j.path)) // it is small
	if err != nil {
		return storage("restore", j.path, err)
	}
	if _, err := file.Write(data); err != nil {
		return storage("restore", j.path, errors.Join(err, file.Abort()))
	}
	if err := file.Close(); err != nil {
		return storage("restore", j.path, err)
	}
	return nil
}
