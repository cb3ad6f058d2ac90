package faults

import (
	"context"
	"io"
	"sync/atomic"

	"firedrill/internal/backup"
)

// fillsUp is a folder on whose disk there is no more space when the manifest is
// begun.
type fillsUp struct {
	backup.Folder
	fill func()
}

func (p *fillsUp) Create(ctx context.Context, name string) (backup.File, error) {
	if name == backup.ManifestName {
		p.fill()
	}
	return p.Folder.Create(ctx, name)
}

// fillsUpOnRead is a folder at whose n-th opening of a file some disk becomes full.
type fillsUpOnRead struct {
	backup.Folder
	at, n int64
	fill  func()
}

func (p *fillsUpOnRead) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if atomic.AddInt64(&p.n, 1) == p.at {
		p.fill()
	}
	return p.Folder.Open(ctx, name)
}
