package backup

import (
	"context"
	"errors"
	"fmt"
)

// verifyD1 loads all parts into a database on this machine and compares what they
// give with the manifest.
func (b *Backup) verifyD1(ctx context.Context) (err error) {
	l, err := b.loaded(ctx)
	if err != nil {
		return err
	}
	return l.Close()
}

// loaded gives a database with what the parts hold, found to be what the manifest
// says.
func (b *Backup) loaded(ctx context.Context) (_ *local, err error) {
	l, err := newLocal(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	rows := int64(0)
	for _, p := range b.Manifest.Parts {
		if err := b.loadPart(ctx, l, p); err != nil {
			return nil, err
		}
		rows += p.Rows
	}
	got, err := measure(ctx, l, nil)
	if err != nil {
		return nil, err
	}
	d := b.Manifest.Database
	how, _ := d.differs(got)
	switch {
	case how != "":
		return nil, corrupt(b.Place.String(), "the parts hold something else than the manifest says: "+how, otherBackup)
	case d.digest() != b.Manifest.Digest || got.Rows != d.Rows || rows != d.Rows:
		return nil, corrupt(b.Place.String(), fmt.Sprintf("the manifest does not agree with itself: %d rows are in the tables, %d in the parts", got.Rows, rows), otherBackup)
	case got.Objects == 0:
		return nil, corrupt(b.Place.String(), "there is nothing in it", otherBackup)
	}
	return l, nil
}
