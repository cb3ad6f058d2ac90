package cli

import (
	"context"
	"strings"

	"firedrill/internal/backup"
)

// place says where a backup lies: a folder, or s3://BUCKET/PREFIX.
func (a *app) place(_ context.Context, ref string) (backup.Place, error) {
	if strings.HasPrefix(ref, "s3://") {
		return nil, usage("buckets are not there yet", "name a folder")
	}
	return backup.Folder(strings.TrimPrefix(ref, "file://")), nil
}
