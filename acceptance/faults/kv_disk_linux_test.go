package faults

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"firedrill"
	"firedrill/internal/backup"
	"firedrill/internal/testkit/smalldisk"
)

// pageSize is what a small disk counts in.
const pageSize = 4096

// full is what an error has to be of a disk that is full.
func full(err error) error {
	if firedrill.KindOf(err) != firedrill.KindStorage || !errors.Is(err, syscall.ENOSPC) || firedrill.RemedyOf(err) == "" {
		return fmt.Errorf("it says %w of kind %s, remedy %q", err, firedrill.KindOf(err), firedrill.RemedyOf(err))
	}
	return nil
}

// TestABackupThatMeetsAFullDiskGoesOnWhenThereIsSpace leaves a little more space at
// each attempt, from none at all to enough: each piece that is written meets the
// full disk once, the manifest included.
func TestABackupThatMeetsAFullDiskGoesOnWhenThereIsSpace(t *testing.T) {
	t.Parallel()
	c, want := start(t), content()
	id := c.filled("cache", want)
	to := c.target(c.API, id)
	for name, change := range map[string]func(*backup.WriteOptions){
		"plain":      func(*backup.WriteOptions) {},
		"compressed": func(o *backup.WriteOptions) { o.Seal.Compress = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := smalldisk.New(t, 1<<20)
			failed := map[string]int{} // by what was there
			for pages := int64(0); ; pages++ {
				filler := smalldisk.Fill(t, disk, pages*pageSize)
				place := backup.Folder(filepath.Join(disk, fmt.Sprint("backup-", pages)))
				err := to.backUp(t.Context(), place, change)
				if err == nil {
					if err := complete(t.Context(), place, want); err != nil {
						t.Fatalf("%d pages: %v", pages, err)
					}
					break
				}
				if err := errors.Join(full(err), halfWritten(t.Context(), place)); err != nil {
					t.Fatalf("%d pages: %v", pages, err)
				}
				if left := unfinished(t, place.String()); left != "" {
					t.Fatalf("%d pages: %s is left half written", pages, left)
				}
				names, err := place.Names(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				failed[strings.Join(names, " ")]++
				if err := os.Remove(filler); err != nil {
					t.Fatal(err)
				}
				if err := to.backUp(t.Context(), place, change); err != nil {
					t.Fatalf("%d pages: when there was space: %v", pages, err)
				}
				if err := complete(t.Context(), place, want); err != nil {
					t.Fatalf("%d pages: %v", pages, err)
				}
				if err := os.RemoveAll(place.String()); err != nil {
					t.Fatal(err)
				}
			}
			if len(failed) < 3 {
				t.Errorf("it failed at few places: %v", failed)
			}
			t.Logf("%v", failed)
		})
	}
}

// unfinished names a file that is left half written; "" if there is none.
func unfinished(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".tmp") {
			return e.Name()
		}
	}
	return ""
}

// TestAManifestThatDoesNotFitIsWrittenLater makes the disk full when everything but
// the manifest is written.
func TestAManifestThatDoesNotFitIsWrittenLater(t *testing.T) {
	t.Parallel()
	c, want := start(t), content()
	id := c.filled("cache", want)
	to := c.target(c.API, id)
	disk := smalldisk.New(t, 1<<20)
	place := &fillsUp{Folder: backup.Folder(filepath.Join(disk, "backup")), fill: func() { smalldisk.Fill(t, disk, 0) }}
	err := to.backUp(t.Context(), place)
	if err := errors.Join(full(err), halfWritten(t.Context(), place.Folder)); err != nil {
		t.Fatal(err)
	}
	if left := unfinished(t, place.String()); left != "" {
		t.Errorf("%s is left half written", left)
	}
	// Nothing changes as long as it is full.
	if err := errors.Join(full(to.backUp(t.Context(), place.Folder)), halfWritten(t.Context(), place.Folder)); err != nil {
		t.Error(err)
	}
	if err := os.Remove(filepath.Join(disk, "filler")); err != nil {
		t.Fatal(err)
	}
	if err := to.backUp(t.Context(), place.Folder); err != nil {
		t.Fatal(err)
	}
	if err := complete(t.Context(), place.Folder, want); err != nil {
		t.Error(err)
	}
}

// TestARestoreWhoseJournalDoesNotFitChangesNothingOrGoesOn fills the disk of the
// journal, before the restore and in its midst.
func TestARestoreWhoseJournalDoesNotFitChangesNothingOrGoesOn(t *testing.T) {
	t.Parallel()
	c, want := start(t), content()
	id := c.filled("cache", want)
	to := c.target(c.API, id)
	place := backup.Folder(folder(t))
	if err := to.backUp(t.Context(), place); err != nil {
		t.Fatal(err)
	}
	c.damage(id, want)
	damaged := c.look(id)
	disk := smalldisk.New(t, 64<<10)
	journal := filepath.Join(disk, "journal.json")
	filler := smalldisk.Fill(t, disk, 0)
	done, err := to.restore(t.Context(), place, journal)
	if err := full(err); err != nil || done {
		t.Errorf("done %v: %v", done, err)
	}
	if d := differ(damaged, c.look(id)); d != "" {
		t.Errorf("it changed something before the journal was there: %s", d)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	// There is space for the first journal, and then no more for the next.
	b := &fillsUpOnRead{Folder: place, at: 9, fill: func() { smalldisk.Fill(t, disk, 0) }}
	done, err = to.restore(t.Context(), b, journal)
	if err := full(err); err != nil || done {
		t.Errorf("in the midst: done %v: %v", done, err)
	}
	if d := differ(damaged, c.look(id)); d == "" {
		t.Error("in the midst: nothing was written; it was another moment")
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if _, err := to.restore(t.Context(), place, journal); err != nil {
		t.Fatal(err)
	}
	if d := differ(want, c.look(id)); d != "" {
		t.Error(d)
	}
	if _, err := os.Stat(journal); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the journal is left: %v", err)
	}
}

// TestARestoreWithoutSpaceForStrangersChangesNothing has more keys to delete than
// the folder for temporary files takes: nothing is written at all, and the error
// says what to do.
func TestARestoreWithoutSpaceForStrangersChangesNothing(t *testing.T) {
	t.Parallel()
	c, want := start(t), content()
	id := c.filled("cache", want)
	o := order{Do: "restore", Target: c.target(c.API, id), Place: location{Folder: folder(t)}, Journal: filepath.Join(t.TempDir(), "journal")}
	if err := o.Target.backUp(t.Context(), backup.Folder(o.Place.Folder)); err != nil {
		t.Fatal(err)
	}
	c.damage(id, want)
	disk := smalldisk.New(t, 64<<10)
	o.Temp = disk
	// Few keys wait in memory and would meet the full disk at the end only; many
	// need ten pages.
	for n, mostFree := range map[int]int64{1: 0, 400: 8} {
		strangers := map[string]entry{}
		for i := range n {
			strangers[fmt.Sprintf("stranger/%04d/%s", i, strings.Repeat("s", 80))] = entry{}
		}
		c.put(id, strangers)
		damaged := c.look(id)
		for free := int64(0); free <= mostFree; free += 2 {
			filler := smalldisk.Fill(t, disk, free*pageSize)
			child := command(t, o)
			child.run(t)
			if child.err == nil || !bytes.Contains(child.output.Bytes(), []byte("no space left")) || !bytes.Contains(child.output.Bytes(), []byte("temporary")) {
				t.Errorf("%d pages: %v\n%s", free, child.err, &child.output)
			}
			if d := differ(damaged, c.look(id)); d != "" {
				t.Fatalf("%d pages: it changed something: %s", free, d)
			}
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			if names, err := os.ReadDir(disk); err != nil || len(names) > 0 {
				t.Errorf("%d pages: left behind: %v, %v", free, names, err)
			}
		}
		finish(t, o, "with space")
		if d := differ(want, c.look(id)); d != "" {
			t.Error(d)
		}
		c.damage(id, want)
	}
}
