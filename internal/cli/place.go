package cli

import (
	"context"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"firedrill"
	"firedrill/internal/backup"
	"firedrill/internal/bucket"
)

const bucketScheme = "s3://"

// place says where a backup lies: a folder, or s3://BUCKET/PREFIX. The store and
// its credentials come from the environment (AWS_ENDPOINT_URL_S3, AWS_REGION,
// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY). done gives up its connections.
func (a *app) place(ref string) (place backup.Place, done func(), err error) {
	if !strings.HasPrefix(ref, bucketScheme) {
		return backup.Folder(ref), func() {}, nil
	}
	b, err := a.bucket(ref)
	if err != nil {
		return nil, nil, err
	}
	return b, b.Close, nil
}

func (a *app) bucket(ref string) (*bucket.Bucket, error) {
	return bucket.New(bucket.Config{Address: ref, Getenv: a.Getenv})
}

// backupsBelow finds the complete backups at or below a place.
func (a *app) backupsBelow(ctx context.Context, ref string) ([]string, error) {
	if strings.HasPrefix(ref, bucketScheme) {
		b, err := a.bucket(ref)
		if err != nil {
			return nil, err
		}
		defer b.Close()
		return b.Below(ctx, backup.ManifestName)
	}
	var found []string
	err := filepath.WalkDir(ref, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() == backup.ManifestName {
			found = append(found, filepath.Dir(path))
		}
		return err
	})
	if err != nil {
		return nil, &firedrill.Error{Op: "look for backups", Kind: firedrill.KindNotFound, Target: ref, Err: err, Remedy: "name a folder that holds backups"}
	}
	return found, nil
}

// held is a backup that was found, open.
type held struct {
	ref string
	*backup.Backup
}

// open opens the backups of some places; those that cannot be opened come with
// their errors.
func (a *app) openAll(ctx context.Context, refs []string, key keyOptions) (all []held, broken []error, done func(), err error) {
	keys, err := key.keys()
	if err != nil {
		return nil, nil, nil, err
	}
	var closers []func()
	done = func() {
		for _, c := range closers {
			c()
		}
	}
	for _, ref := range refs {
		place, close, err := a.place(ref)
		if err != nil {
			broken = append(broken, err)
			continue
		}
		closers = append(closers, close)
		b, err := backup.Open(ctx, place, keys...)
		if err != nil {
			broken = append(broken, err)
			continue
		}
		all = append(all, held{ref, b})
	}
	return all, broken, done, nil
}

// within keeps the backups that were finished in the last while.
func within(all []held, window time.Duration, now time.Time) []held {
	var kept []held
	for _, h := range all {
		if age := now.Sub(h.Manifest.Finished); age <= window && age >= 0 {
			kept = append(kept, h)
		}
	}
	return kept
}
