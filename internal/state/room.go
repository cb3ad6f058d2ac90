package state

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"

	"firedrill"
)

// Room is how many bytes of the disk a run keeps for its way back. The records of a
// way back are a tenth of it; the rest is for what looks write.
const Room = 4 << 20

func (h *Home) roomFile(key string) string {
	return filepath.Join(h.dir, "room", LeaseName(key))
}

// KeepRoom takes space on the disk for whoever holds the lease of an environment,
// before anything is changed there: [Home.FreeRoom] gives it back when there is no
// other. Space that an earlier process kept is taken over. A disk without that much
// space gives an error of [firedrill.KindStorage], and nothing is kept.
func (h *Home) KeepRoom(key string) error {
	path := h.roomFile(key)
	if info, err := os.Stat(path); err == nil && info.Size() == Room {
		return nil // it is as long as this only when all of it was written
	}
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = fill(path)
	}
	if err != nil {
		return errors.Join(&firedrill.Error{Op: "keep space for putting back", Kind: firedrill.KindStorage, Target: h.dir,
			Detail: "a run keeps 4 MiB of the disk, so that it can put back what it changed when the disk is full", Remedy: "make room on the disk, or use another --home", Err: err},
			ignoreMissing(os.Remove(path)))
	}
	return nil
}

// fill writes the file. Its bytes do not repeat, so that file systems that compress
// or share equal blocks give it the space, too.
func fill(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	data := make([]byte, Room)
	_, _ = rand.NewChaCha8([32]byte{}).Read(data) // it never fails
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync() // some file systems find room only then
	}
	return errors.Join(err, f.Close())
}

// FreeRoom gives the space of an environment back, and tells whether there was any.
func (h *Home) FreeRoom(key string) (had bool, err error) {
	err = os.Remove(h.roomFile(key))
	if had = err == nil; had {
		return true, nil
	}
	if err = ignoreMissing(err); err != nil {
		err = fail("free space for putting back", h.roomFile(key), err)
	}
	return false, err
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
