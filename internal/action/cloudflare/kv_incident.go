package cloudflare

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"time"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/backup"
)

type takeBackupIn struct {
	Backup string `json:"backup" doc:"folder of a backup; with run, its name in that run's folder"`
	Run    string `json:"run,omitempty" doc:"the run that made the backup"`
}

func (p *pack) kvTakeBackup() firedrill.Action {
	const name = "kv.take-backup"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Timeout: time.Hour,
		Doc: "Verify every byte of a backup and copy it into this run's folder, so that what a recovery restores from cannot change or go away under it. Encrypted backups and those in a bucket are for `firedrill restore`."},
		func(ctx context.Context, call firedrill.Call, in takeBackupIn) (action.Result[kvBackupOut], error) {
			var res action.Result[kvBackupOut]
			from := in.Backup
			if in.Run != "" {
				dir, err := earlierFolder(call, in.Run)
				if err != nil {
					return res, err
				}
				earlier := call
				earlier.Dir = dir
				if from, err = artefact(earlier, in.Backup); err != nil {
					return res, err
				}
			}
			b, err := backup.Open(ctx, backup.Folder(from))
			if err != nil {
				return res, err
			}
			if b.Manifest.Kind != backup.KindKV {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindUsage, Target: from, Detail: "is a backup of kind " + b.Manifest.Kind + ", not of a KV namespace", Remedy: "see: firedrill backup show " + shellWord(from)}
			}
			to := backup.Folder(filepath.Join(call.Dir, call.Step))
			if err := copyBackup(ctx, b, to); err != nil {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindStorage, Target: from, Err: err, Remedy: "look at the disk and at the backup: firedrill backup verify " + shellWord(from)}
			}
			taken, err := backup.Open(ctx, to)
			if err != nil {
				return res, err
			}
			if err := taken.Verify(ctx); err != nil {
				return res, err
			}
			m := taken.Manifest
			res.Out = kvBackupOut{Backup: call.Step, Keys: m.Keys, Bytes: m.Bytes, Digest: m.Digest.String()}
			res.Summary = count(m.Keys, "key") + " verified, of a backup of " + m.Finished.UTC().Format(time.RFC3339)
			return res, nil
		})
}

// copyBackup copies the files of a backup, its manifest last: what is cut off is no
// backup.
func copyBackup(ctx context.Context, b *backup.Backup, to backup.Place) error {
	for _, part := range b.Manifest.Parts {
		if err := copyFile(ctx, b.Place, to, part.File); err != nil {
			return err
		}
	}
	return copyFile(ctx, b.Place, to, backup.ManifestName)
}

func copyFile(ctx context.Context, from, to backup.Place, name string) error {
	r, err := from.Open(ctx, name)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // it was only read
	w, err := to.Create(ctx, name)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, r); err != nil {
		return errors.Join(err, w.Abort())
	}
	return w.Close()
}
