package state

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"firedrill"
	"firedrill/internal/testkit/smalldisk"
)

// TestRoomIsKeptAndGivenBack looks at a real disk: what is kept is gone from it, and
// is there again when it is needed.
func TestRoomIsKeptAndGivenBack(t *testing.T) {
	t.Parallel()
	disk := smalldisk.New(t, 2*Room)
	h, err := Open(filepath.Join(disk, "home"))
	if err != nil {
		t.Fatal(err)
	}
	if had, err := h.FreeRoom("staging/x"); had || err != nil {
		t.Errorf("room that nobody kept: %v, %v", had, err)
	}
	if err := h.KeepRoom("staging/x"); err != nil {
		t.Fatal(err)
	}
	smalldisk.Fill(t, disk, 0)
	file := filepath.Join(disk, "more")
	if err := os.WriteFile(file, make([]byte, 8192), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	if err := h.KeepRoom("staging/x"); err != nil {
		t.Errorf("what an earlier process kept is not taken over: %v", err)
	}
	err = h.KeepRoom("other")
	if firedrill.KindOf(err) != firedrill.KindStorage || !errors.Is(err, syscall.ENOSPC) || firedrill.RemedyOf(err) == "" {
		t.Errorf("a disk without room: %v", err)
	}
	if _, err := os.Stat(h.roomFile("other")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half of it is left: %v", err)
	}
	if had, err := h.FreeRoom("staging/x"); !had || err != nil {
		t.Errorf("%v, %v", had, err)
	}
	if err := os.WriteFile(file, make([]byte, Room-64<<10), 0o600); err != nil {
		t.Errorf("what was kept is not there: %v", err)
	}
}
