package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"firedrill"
	"firedrill/internal/action/cloudflare"
	"firedrill/internal/backup"
)

// scratchNote tells of a resource that a test makes to throw it away. It is durable before
// the resource is made, so that what a killed test leaves is found.
type scratchNote struct {
	Kind    string    `json:"kind"`
	Name    string    `json:"name"`
	API     string    `json:"api"`
	Account string    `json:"account"`
	At      time.Time `json:"at"`
}

// file is the note's name: three resources of one test have one name.
func (n scratchNote) file() string { return n.Kind + "-" + n.Name + ".json" }

// repair is the command that deletes it by hand.
func (n scratchNote) repair() string {
	switch n.Kind {
	case backup.KindD1:
		return "delete it: npx wrangler d1 delete " + n.Name
	case kindWorker:
		return "delete it: npx wrangler delete --name " + n.Name
	}
	return "delete it: npx wrangler kv namespace list, then npx wrangler kv namespace delete --namespace-id ID"
}

// kindWorker is the kind of a note about a Worker; the others are those of backups.
const kindWorker = "worker"

// removeScratch deletes a scratch resource and forgets it.
func (a *app) removeScratch(ctx context.Context, client *cloudflare.Client, n scratchNote) error {
	const op = "remove what was made for a test"
	var err error
	switch n.Kind {
	case backup.KindD1:
		err = client.DeleteD1Scratch(ctx, op, n.Name, nil)
	case kindWorker:
		err = client.DeleteWorkerScratch(ctx, op, n.Name, nil)
	default:
		err = client.DeleteKVScratch(ctx, op, n.Name, nil)
	}
	if err != nil {
		return &firedrill.Error{Op: op, Kind: firedrill.KindOf(err), Target: kindName(n.Kind) + " " + n.Name, Detail: "could not be deleted", Err: err, Remedy: n.repair()}
	}
	return a.forgetScratch(n)
}

func (a *app) scratchDir() (backup.Folder, error) {
	home, err := a.homeDir()
	return backup.Folder(filepath.Join(home, "scratches")), err
}

func noteFailed(target string, err error) error {
	return &firedrill.Error{Op: "note what a restore test makes", Kind: firedrill.KindStorage, Target: target, Err: err, Remedy: "make room on the disk, or name another --home"}
}

func (a *app) noteScratch(n scratchNote) error {
	dir, err := a.scratchDir()
	if err != nil {
		return err
	}
	data, err := json.Marshal(n)
	if err != nil {
		return err
	}
	f, err := dir.Create(context.Background(), n.file()) // a small file on this machine
	if err != nil {
		return noteFailed(dir.String(), err)
	}
	if _, err := f.Write(data); err != nil {
		return noteFailed(dir.String(), errors.Join(err, f.Abort()))
	}
	if err := f.Close(); err != nil {
		return noteFailed(dir.String(), err)
	}
	return nil
}

func (a *app) forgetScratch(n scratchNote) error {
	dir, err := a.scratchDir()
	if err != nil {
		return err
	}
	if err := dir.Remove(context.Background(), n.file()); err != nil {
		return noteFailed(dir.String(), err)
	}
	return nil
}

func (a *app) scratchNotes() ([]scratchNote, error) {
	dir, err := a.scratchDir()
	if err != nil {
		return nil, err
	}
	names, err := dir.Names(context.Background())
	if err != nil {
		return nil, noteFailed(dir.String(), err)
	}
	var notes []scratchNote
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir.String(), name))
		var n scratchNote
		if err == nil {
			err = json.Unmarshal(data, &n)
		}
		if err != nil {
			return nil, noteFailed(filepath.Join(dir.String(), name), err)
		}
		notes = append(notes, n)
	}
	return notes, nil
}

// testsName is the file that remembers restore tests, one JSON line each.
const testsName = "restore-tests.jsonl"

// rememberTest notes a restore test that went well: when each backup was last shown
// to restore is what `backup list` tells.
func (a *app) rememberTest(t tested) error {
	home, err := a.homeDir()
	if err != nil {
		return err
	}
	path := filepath.Join(home, testsName)
	line, err := json.Marshal(t)
	if err == nil {
		err = appendLine(path, line)
	}
	if err != nil {
		return &firedrill.Error{Op: "remember the restore test", Kind: firedrill.KindStorage, Target: path, Err: err, Remedy: "make room on the disk, or name another --home"}
	}
	return nil
}

func appendLine(path string, line []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Sync(), f.Close())
}

// lastTests tells when each backup, by its digest, was last shown to restore.
func (a *app) lastTests() (map[string]time.Time, error) {
	home, err := a.homeDir()
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(home, testsName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &firedrill.Error{Op: "read the restore tests", Kind: firedrill.KindStorage, Target: home, Err: err}
	}
	last := map[string]time.Time{}
	lines := bufio.NewScanner(strings.NewReader(string(data)))
	for lines.Scan() {
		var t tested
		if json.Unmarshal(lines.Bytes(), &t) == nil && t.Equal && t.At.After(last[t.Digest]) {
			last[t.Digest] = t.At // a line that a crash cut short says nothing
		}
	}
	return last, lines.Err()
}
