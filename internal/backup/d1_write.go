package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"firedrill"
)

// D1Options say how a database is backed up.
type D1Options struct {
	WriteOptions
	Method Method
	// Tell is told what a person may want to know: why a method was chosen, that
	// something is begun again. nil: nobody.
	Tell func(text string)
}

const (
	// d1Tries is how often the reading is begun while others write.
	d1Tries = 3
	// maxExport is the largest export that an import takes, in bytes.
	maxExport = 5_000_000_000
)

// WriteD1 backs up a database. What its parts hold is found out by loading them
// into a database on this machine while they are written.
//
// A backup by SQL that was cut off is gone on with if nobody wrote to the database
// since; otherwise it begins again.
func WriteD1(ctx context.Context, src SQLSource, place Place, o D1Options) (Manifest, error) {
	if o.MaxPartBytes == 0 {
		o.MaxPartBytes = MaxPartBytes
	}
	if !slices.Contains([]Method{MethodAuto, MethodExport, MethodSQL}, o.Method) {
		return Manifest{}, &firedrill.Error{Op: "write the backup", Kind: firedrill.KindUsage, Target: "method " + string(o.Method), Remedy: "choose auto, export or sql"}
	}
	p, err := begin(ctx, place, Manifest{Format: Format, Version: Version, Kind: KindD1, Source: o.Source, Encoding: o.Seal.encoding(), Started: o.Now().UTC(), Tool: o.Tool,
		Snapshot: true, Database: &Database{}, Parts: []Part{}})
	if err != nil {
		return Manifest{}, err
	}
	w := &d1Writer{ctx: ctx, src: src, place: place, o: o, p: p}
	if err := w.method(); err != nil {
		return Manifest{}, err
	}
	m := w.p.Manifest
	m.Finished = o.Now().UTC()
	return m, complete(ctx, place, m)
}

// d1Writer writes the backup of a database.
type d1Writer struct {
	ctx   context.Context
	src   SQLSource
	place Place
	o     D1Options
	p     progress
	state d1State // of a backup that is gone on with
	local *local
	told  int64 // rows
}

func (w *d1Writer) say(format string, args ...any) {
	if w.o.Tell != nil {
		w.o.Tell(fmt.Sprintf(format, args...))
	}
}

// tell reports progress now and then.
func (w *d1Writer) tell() {
	if w.o.Progress != nil && w.told%1000 == 0 {
		w.o.Progress(w.told, w.bytes())
	}
}

// bytes counts those of the complete parts.
func (w *d1Writer) bytes() int64 {
	var n int64
	for _, p := range w.p.Manifest.Parts {
		n += p.content()
	}
	return n
}

// notExact is the error of an export that does not give back what is in the
// database.
type notExact struct{ error }

func (e notExact) Unwrap() error { return e.error }

// method reads by the method that is asked for, or by the one that is exact.
func (w *d1Writer) method() error {
	if w.o.Method == MethodSQL || w.resumable() {
		return w.bySQL()
	}
	why, err := w.src.Exportable(w.ctx)
	switch {
	case err != nil:
		return err
	case why != "" && w.o.Method == MethodExport:
		return inexact(why)
	case why != "":
		w.say("%s, so the tables are read through SQL", why)
		return w.bySQL()
	}
	err = w.byExport()
	if not := (notExact{}); w.o.Method == MethodAuto && errors.As(err, &not) {
		w.say("the platform's export is not exact (%v), so the tables are read through SQL", not.error)
		return w.bySQL()
	}
	return err
}

// resumable tells whether a backup by SQL was begun here.
func (w *d1Writer) resumable() bool {
	m := w.p.Manifest
	return w.o.Method == MethodAuto && m.Database != nil && m.Database.Method == MethodSQL && len(m.Parts) > 0
}

func inexact(why string) error {
	return &firedrill.Error{Op: "write the backup", Kind: firedrill.KindUnsupported, Target: "the platform's export", Detail: why, Remedy: "choose the method sql, or auto"}
}

// fresh begins anew: nothing is left of what was written.
func (w *d1Writer) fresh(method Method) error {
	m := &w.p.Manifest
	names, err := w.place.Names(w.ctx)
	if err != nil {
		return storage("write the backup", w.place.String(), err)
	}
	m.Database, m.Parts, w.state = &Database{Method: method}, []Part{}, d1State{}
	m.Started = w.o.Now().UTC()
	if err := w.save(d1State{}); err != nil {
		return err
	}
	for _, n := range names {
		if strings.HasPrefix(n, "d1-") {
			if err := w.place.Remove(w.ctx, n); err != nil {
				return storage("write the backup", w.place.String()+"/"+n, err)
			}
		}
	}
	return nil
}

// save makes durable how far the writing has come.
func (w *d1Writer) save(s d1State) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	w.state, w.p.Last = s, string(data)
	return writeJSON(w.ctx, w.place, progressName, w.p)
}

// loadAnew opens a database to load into.
func (w *d1Writer) loadAnew() (err error) {
	if w.local != nil {
		err = w.local.Close()
		w.local = nil
	}
	if err == nil {
		w.local, err = newLocal(w.ctx)
	}
	return err
}

func (w *d1Writer) unload(err *error) {
	if w.local != nil {
		*err = errors.Join(*err, w.local.Close())
		w.local = nil
	}
}

// bySQL reads table by table, between two equal bookmarks.
func (w *d1Writer) bySQL() (err error) {
	defer func() { w.unload(&err) }()
	for try := 1; ; try++ {
		err := w.onceBySQL()
		if firedrill.KindOf(err) != firedrill.KindConflict {
			return err
		}
		if try == d1Tries {
			return &firedrill.Error{Op: "write the backup", Kind: firedrill.KindConflict, Target: "the database", Detail: fmt.Sprintf("somebody wrote during each of %d attempts", d1Tries),
				Remedy: "stop the writers (quiesce), then repeat; or choose the method export", Err: err}
		}
		w.say("somebody wrote meanwhile; reading again")
		if err := w.fresh(MethodSQL); err != nil {
			return err
		}
	}
}

func (w *d1Writer) onceBySQL() error {
	mark, err := w.src.Bookmark(w.ctx)
	if err != nil {
		return err
	}
	if err := w.loadAnew(); err != nil {
		return err
	}
	if err := w.goOn(mark); err != nil {
		return err
	}
	s, err := w.src.Schema(w.ctx)
	if err != nil {
		return err
	}
	if err := writable(s); err != nil {
		return err
	}
	d := w.p.Manifest.Database
	d.describe(s)
	x := &script{w: w, s: s}
	if err := x.run(w.ctx, w.src); err != nil {
		return errors.Join(err, x.drop())
	}
	d.sort()
	after, err := w.src.Bookmark(w.ctx)
	if err != nil {
		return err
	}
	if after != mark {
		return &firedrill.Error{Op: "write the backup", Kind: firedrill.KindConflict, Target: "the database", Detail: "its bookmark moved from " + mark + " to " + after, Remedy: "stop the writers, then repeat"}
	}
	got, err := measure(w.ctx, w.local, nil)
	if err != nil {
		return err
	}
	if how, _ := d.differs(got); how != "" {
		return &firedrill.Error{Op: "write the backup", Kind: firedrill.KindUnsupported, Target: "the database", Detail: "the SQL does not give back what was read: " + how,
			Remedy: "please report it, with the statement that makes the table"}
	}
	d.Compared = true
	w.p.Manifest.Digest = d.digest()
	return nil
}

// goOn takes the parts of a backup that was cut off, if they are of this very
// moment and can be read; otherwise it begins anew.
func (w *d1Writer) goOn(mark string) error {
	m := &w.p.Manifest
	anew := func(why string) error {
		if why != "" {
			w.say("%s: beginning again", why)
		}
		if err := w.fresh(MethodSQL); err != nil {
			return err
		}
		w.p.Manifest.Database.Bookmark = mark
		return nil
	}
	switch {
	case len(m.Parts) == 0:
		return anew("")
	case m.Database == nil || m.Database.Method != MethodSQL:
		return anew("another method was begun")
	case m.Database.Bookmark != mark:
		return anew("somebody wrote to the database since the backup was cut off")
	case m.Encoding.Encryption != "" && len(w.o.Keys) == 0:
		return anew("the parts that were written are encrypted, and no key is given")
	case json.Unmarshal([]byte(w.p.Last), &w.state) != nil:
		return anew("what was begun cannot be read")
	}
	b := &Backup{Place: w.place, Manifest: *m, keys: w.o.Keys}
	for _, p := range m.Parts {
		if err := b.loadPart(w.ctx, w.local, p); err != nil {
			return err
		}
		w.told += p.Rows
	}
	w.say("going on behind %d parts", len(m.Parts))
	return nil
}

// writable refuses databases that cannot be written as SQL, by name.
func writable(s SQLSchema) error {
	refuse := func(table, detail, remedy string) error {
		return &firedrill.Error{Op: "write the backup", Kind: firedrill.KindUnsupported, Target: "table " + table, Detail: detail, Remedy: remedy}
	}
	if len(s.Objects) == 0 {
		return &firedrill.Error{Op: "write the backup", Kind: firedrill.KindNotFound, Target: "the database", Detail: "there is nothing in it", Remedy: "name another database: a backup of nothing protects nothing"}
	}
	for _, t := range s.Tables {
		switch {
		case t.Module != "" && t.Module != "fts5" && t.Module != "fts5vocab":
			return refuse(t.Name, "it is a virtual table of the module "+t.Module, "drop it for the time of the backup; its rows cannot be read exactly")
		case t.Module == "fts5" && contentOf(s.sql(t.Name)) == ftsNone:
			return refuse(t.Name, "it is a full-text table without content: what was indexed cannot be read back", "drop it for the time of the backup, and fill it again from its source")
		case t.Module == "" && t.Rowid == "" && len(t.Key) == 0:
			return refuse(t.Name, "it hides its rowid behind columns of that name and has no key", "rename one of its columns rowid, oid, _rowid_")
		}
	}
	return nil
}

// notLoaded marks what could not be loaded. Errors that say of themselves what is
// wrong are left as they are.
func notLoaded(err error) error {
	var own *firedrill.Error
	if err == nil || errors.As(err, &own) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &firedrill.Error{Op: "write the backup", Kind: firedrill.KindUnsupported, Target: "the SQL of the database", Detail: "it cannot be performed", Err: err,
		Remedy: "look at the statement: does the database hold rows that its own constraints refuse?"}
}

// byExport takes the platform's export, as one part.
func (w *d1Writer) byExport() (err error) {
	defer func() { w.unload(&err) }()
	for try := 1; ; try++ {
		err := w.onceByExport()
		if kind := firedrill.KindOf(err); try == d1Tries || kind != firedrill.KindUnavailable && kind != firedrill.KindNotSent {
			return err
		}
		w.say("%v; exporting again", err)
	}
}

func (w *d1Writer) onceByExport() error {
	if err := w.fresh(MethodExport); err != nil {
		return err
	}
	if err := w.loadAnew(); err != nil {
		return err
	}
	before, err := w.src.Bookmark(w.ctx)
	if err != nil {
		return err
	}
	schema, err := w.src.Schema(w.ctx)
	if err != nil {
		return err
	}
	if err := writable(schema); err != nil {
		return err
	}
	e, err := w.src.Export(w.ctx)
	if err != nil {
		return refusedExport(err)
	}
	part, err := w.take(e)
	if err != nil {
		return err
	}
	got, err := measure(w.ctx, w.local, nil)
	if err != nil {
		return err
	}
	got.Method, got.Bookmark = MethodExport, e.Bookmark
	part.Rows = got.Rows
	m := &w.p.Manifest
	m.Database, m.Digest, m.Parts = &got, got.digest(), []Part{part}
	return w.compare(before)
}

// refusedExport makes of a platform's refusal to export a reason to read in
// another way.
func refusedExport(err error) error {
	switch firedrill.KindOf(err) {
	case firedrill.KindInvalid, firedrill.KindUnsupported, firedrill.KindCorrupt:
		return notExact{err}
	}
	return err
}

// take stores and loads an export.
func (w *d1Writer) take(e SQLExport) (_ Part, err error) {
	in, err := e.Open(w.ctx)
	if err != nil {
		return Part{}, refusedExport(err)
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	into, err := newPart(w.ctx, w.place, "d1-00001.sql", w.o.Seal)
	if err != nil {
		return Part{}, storage("write the backup", w.place.String(), err)
	}
	load, err := w.local.load(w.ctx)
	if err != nil {
		return Part{}, errors.Join(err, into.Abort())
	}
	to := &exported{w: w, into: into, load: load}
	if _, err = io.Copy(to, in); err == nil {
		err = to.load.finish()
		if nl := notLoaded(err); firedrill.KindOf(nl) == firedrill.KindUnsupported {
			err = notExact{nl}
		}
	}
	if err != nil {
		return Part{}, errors.Join(err, into.Abort())
	}
	part, err := into.Close()
	if err != nil {
		return Part{}, storage("write the backup", w.place.String(), err)
	}
	return part, nil
}

// exported takes the bytes of an export.
type exported struct {
	w    *d1Writer
	into *partWriter
	load *loading
	mb   int64
}

func (x *exported) Write(b []byte) (int, error) {
	if _, err := x.into.Write(b); err != nil {
		return 0, storage("write the backup", x.w.place.String(), err)
	}
	if x.into.bytes > maxExport {
		return 0, notExact{inexact(fmt.Sprintf("it is larger than %d bytes, and no import takes more", int64(maxExport)))}
	}
	if _, err := x.load.Write(b); err != nil {
		if nl := notLoaded(err); firedrill.KindOf(nl) == firedrill.KindUnsupported {
			return 0, notExact{nl}
		}
		return 0, err
	}
	if mb := x.into.bytes >> 20; mb != x.mb && x.w.o.Progress != nil {
		x.mb = mb
		x.w.o.Progress(0, x.into.bytes)
	}
	return len(b), nil
}

// compare reads the database through SQL and compares it with what was exported,
// if nobody writes meanwhile.
func (w *d1Writer) compare(before string) error {
	d := w.p.Manifest.Database
	live, err := measure(w.ctx, w.src, func(rows int64) {
		if w.o.Progress != nil {
			w.o.Progress(rows, w.bytes())
		}
	})
	moved := firedrill.KindOf(err) == firedrill.KindConflict
	if err != nil && !moved {
		return err
	}
	after, err := w.src.Bookmark(w.ctx)
	if err != nil {
		return err
	}
	if moved || after != before {
		w.say("somebody wrote meanwhile, so the export could not be compared with the database: it is a snapshot, and nothing was seen that speaks against it")
		// Without its end an export would lack triggers, views or indexes.
		if live.Objects > 0 && (live.Schema != d.Schema || live.Objects != d.Objects) {
			return &firedrill.Error{Op: "write the backup", Kind: firedrill.KindConflict, Target: "the database", Detail: "its schema is not the export's", Remedy: "repeat when nobody changes the schema"}
		}
		return nil
	}
	if how, _ := live.differs(*d); how != "" {
		return notExact{inexact("it differs from the database at the same moment: " + how)}
	}
	d.Compared = true
	return nil
}
