package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"

	"firedrill"
	"firedrill/internal/fingerprint"
)

// RestoredD1 is what a restore of a database did, or in a dry run what it would do.
type RestoredD1 struct {
	Parts   int   // that were imported
	Skipped int   // that an earlier attempt, which was cut off, had imported
	Tables  int   // of the backup
	Rows    int64 // of the backup
	// Compared counts the rows that were compared at the end.
	Compared int64
}

// importTries is how often a part is sent of which it is known that it did not
// arrive.
const importTries = 3

// RestoreD1 writes a backup into an empty database, part by part, each one a
// transaction. The whole backup is verified first, and everything is compared
// with it at the end.
//
// With each part goes a note, in the same transaction, that it is in. So a restore
// that was cut off is gone on with exactly, also when the answer to an import was
// lost.
func (b *Backup) RestoreD1(ctx context.Context, sink SQLSink, o RestoreOptions) (RestoredD1, error) {
	var out RestoredD1
	if err := b.is(KindD1); err != nil {
		return out, err
	}
	if o.Mode != ModeNone {
		return out, &firedrill.Error{Op: "restore", Kind: firedrill.KindUsage, Target: "mode " + string(o.Mode), Detail: "a database is restored into an empty one", Remedy: "leave the mode out; make a new database"}
	}
	if err := b.Verify(ctx); err != nil {
		return out, err
	}
	out.Tables, out.Rows = len(b.Manifest.Database.Tables), b.Manifest.Database.Rows
	in, err := b.begun(ctx, sink)
	if err != nil {
		return out, err
	}
	done := int64(0)
	for i, p := range b.Manifest.Parts {
		switch {
		case in[i+1]:
			out.Skipped++
		case o.DryRun:
			out.Parts++
		default:
			if err := b.importPart(ctx, sink, o, i); err != nil {
				return out, err
			}
			out.Parts++
		}
		done += p.Rows
		if o.Progress != nil {
			o.Progress(done, b.Manifest.Database.Rows)
		}
	}
	if o.DryRun {
		return out, nil
	}
	if out.Compared, err = b.CheckD1(ctx, sink); err != nil {
		return out, err
	}
	// The notes go last: until then the restore can be gone on with.
	return out, sink.Exec(ctx, "DROP TABLE IF EXISTS "+restoreTable)
}

// begun tells which parts are in the target. A target that holds anything else is
// refused.
func (b *Backup) begun(ctx context.Context, sink SQLSink) (map[int]bool, error) {
	refuse := func(detail, remedy string) error {
		return &firedrill.Error{Op: "restore", Kind: firedrill.KindConflict, Target: "the database", Detail: detail, Remedy: remedy}
	}
	names, err := sink.Ask(ctx, "SELECT hex(name) FROM sqlite_schema WHERE lower(substr(name,1,4)) <> '_cf_' AND lower(substr(name,1,7)) <> 'sqlite_' ORDER BY name = '"+restoreTable+"' DESC LIMIT 1")
	if err != nil || len(names) == 0 {
		return nil, err
	}
	first, err := unhex(names[0])
	if err != nil {
		return nil, err
	}
	if first != restoreTable {
		return nil, refuse("it is not empty: it holds "+first, "restore into a new or an empty database")
	}
	notes, err := sink.Ask(ctx, "SELECT backup, part FROM "+restoreTable)
	if err != nil {
		return nil, err
	}
	in := map[int]bool{}
	for _, n := range notes {
		part, err := strconv.Atoi(n[len(n)-1])
		if err != nil || len(n) != 2 || part < 1 || part > len(b.Manifest.Parts) || n[0] != b.id() {
			return nil, refuse("the restore of another backup was begun in it", "finish that one, or restore into a new database")
		}
		in[part] = true
	}
	if len(in) == 0 { // nobody makes the table without a note
		return nil, refuse("it is not empty: it holds "+restoreTable, "restore into a new or an empty database")
	}
	return in, nil
}

func unhex(row []string) (string, error) {
	var b []byte
	if len(row) != 1 {
		return "", fmt.Errorf("an answer of %d columns", len(row))
	}
	_, err := fmt.Sscanf(row[0], "%x", &b)
	return string(b), err
}

// id tells backups apart, also two of the same content that are cut otherwise.
func (b *Backup) id() string {
	var texts []string
	for _, p := range b.Manifest.Parts {
		if p.ContentSHA256 != "" {
			texts = append(texts, p.ContentSHA256)
		} else {
			texts = append(texts, p.SHA256)
		}
	}
	return fingerprint.HashText(texts...).String()
}

// note is the SQL that goes with a part. A part that is sent twice meets its own
// note, and nothing of it happens.
func (b *Backup) note(part int) string {
	return fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s(backup TEXT NOT NULL, part INTEGER PRIMARY KEY);\nINSERT INTO %s(backup,part) VALUES('%s',%d);\n", restoreTable, restoreTable, b.id(), part)
}

// importPart imports a part. When it is not known what became of it, the database
// is asked.
func (b *Backup) importPart(ctx context.Context, sink SQLSink, o RestoreOptions, i int) error {
	p := b.Manifest.Parts[i]
	note := b.note(i + 1)
	body := Body{Size: p.content() + int64(len(note)), Open: func() (io.ReadCloser, error) {
		r, err := b.open(ctx, p)
		if err != nil {
			return nil, err
		}
		return &noted{Reader: io.MultiReader(r, strings.NewReader(note)), Closer: r}, nil
	}}
	pause := firstPause
	for try := 1; ; try++ {
		err := sink.Import(ctx, body)
		if err == nil {
			return nil
		}
		failed := &firedrill.Error{Op: "restore", Kind: firedrill.KindOf(err), Target: b.name(p), Detail: fmt.Sprintf("part %d of %d was not imported", i+1, len(b.Manifest.Parts)), Remedy: firedrill.RemedyOf(err), Err: err}
		if ctx.Err() != nil || !uncertain(err) {
			return failed
		}
		if try > 1 || firedrill.KindOf(err) == firedrill.KindUnknown {
			if in, berr := b.begun(ctx, sink); berr != nil {
				return errors.Join(failed, berr)
			} else if in[i+1] {
				return nil
			}
		}
		if try == importTries {
			return failed
		}
		if err := o.Sleep(ctx, pause); err != nil {
			return err
		}
		pause *= 2
	}
}

// uncertain tells of errors after which an import may be sent again: one that has
// happened after all refuses to happen twice.
func uncertain(err error) bool {
	k := firedrill.KindOf(err)
	return k == firedrill.KindUnknown || k.Retryable()
}

type noted struct {
	io.Reader
	io.Closer
}

// CheckD1 compares a database with the backup: every table, and the schema. It
// says how many rows it compared, and names the table that differs, and a row of
// it where it can.
func (b *Backup) CheckD1(ctx context.Context, src SQLReader) (compared int64, err error) {
	if err := b.is(KindD1); err != nil {
		return 0, err
	}
	var got Database
	for try := 1; ; try++ {
		var before, after string
		if before, err = src.Bookmark(ctx); err != nil {
			return 0, err
		}
		got, err = measure(ctx, src, nil)
		if err != nil && firedrill.KindOf(err) != firedrill.KindConflict {
			return 0, err
		}
		moved := err != nil
		if after, err = src.Bookmark(ctx); err != nil {
			return 0, err
		}
		if !moved && before == after {
			break
		}
		if try == d1Tries {
			return 0, &firedrill.Error{Op: "compare with the backup", Kind: firedrill.KindConflict, Target: "the database", Detail: fmt.Sprintf("somebody wrote during each of %d attempts", d1Tries), Remedy: "stop the writers, then compare again"}
		}
	}
	d := b.Manifest.Database
	how, table := d.differs(got)
	if how == "" {
		return got.Rows, nil
	}
	if row, err := b.firstDifference(ctx, src, table); err == nil && row != "" {
		how += ": " + row
	}
	return got.Rows, &firedrill.Error{Op: "compare with the backup", Kind: firedrill.KindExpectation, Target: "the database", Detail: how,
		Remedy: "restore into a new database; if somebody else writes there, stop it meanwhile"}
}

// firstDifference names a row that differs, of a table that has a rowid; "" if it
// finds none.
func (b *Backup) firstDifference(ctx context.Context, src SQLReader, table string) (_ string, err error) {
	if table == "" || table == sequence {
		return "", nil
	}
	l, err := b.loaded(ctx)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	s, err := l.Schema(ctx)
	if err != nil {
		return "", err
	}
	for _, t := range s.Tables {
		if t.Name == table && t.Rowid != "" {
			return differingRow(ctx, l, src, t)
		}
	}
	return "", nil
}

func differingRow(ctx context.Context, backup, live SQLReader, t SQLTable) (how string, err error) {
	var failed error
	next, stop := iter.Pull(func(yield func(SQLRow) bool) {
		failed = backup.Rows(ctx, t, nil, func(r SQLRow) error {
			if !yield(r) {
				return errStop
			}
			return nil
		})
	})
	defer stop()
	want, more := next()
	err = live.Rows(ctx, t, nil, func(got SQLRow) error {
		switch {
		case !more || got.Rowid < want.Rowid:
			how = "row " + t.key(got) + " is a stranger"
		case got.Rowid > want.Rowid:
			how = "row " + t.key(want) + " is missing"
		case t.digest(got) != t.digest(want):
			how = "row " + t.key(want) + " is another one"
		default:
			want, more = next()
			return nil
		}
		return errStop
	})
	if errors.Is(err, errStop) {
		return how, nil
	}
	if err == nil && more {
		how = "row " + t.key(want) + " is missing"
	}
	return how, errors.Join(err, failed)
}
