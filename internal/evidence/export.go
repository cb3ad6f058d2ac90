package evidence

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"firedrill"
)

// Period says what of the evidence an export holds. It is signed, so that the end of
// an export cannot be cut off, nor its beginning.
type Period struct {
	From      time.Time `json:"from"`      // entries were signed at or after it
	To        time.Time `json:"to"`        // and before it
	Artefacts bool      `json:"artefacts"` // whether artefacts are in it, beside the documents
	At        time.Time `json:"at"`
	By        string    `json:"by"`
	Parts     []Part    `json:"parts"`
}

// Part is the stretch of a chain that an export holds.
type Part struct {
	Key      string `json:"key"`
	First    int64  `json:"first"`
	Previous string `json:"previous"` // SHA-256 of the entry before the first; "" if there is none
	Last     int64  `json:"last"`
	Head     string `json:"head"` // SHA-256 of the last
}

func (p *Period) part(id string) (Part, bool) {
	if p != nil {
		for _, part := range p.Parts {
			if part.Key == id {
				return part, true
			}
		}
	}
	return Part{}, false
}

// Sink takes the files of an export, one after another.
type Sink interface {
	Put(name string, from io.Reader) error
}

// Export packs what was signed in a period, of all chains: the entries, the bundles
// that they are about, and the public keys. It gives how many bundles.
func (a Archive) Export(to Sink, p Period) (Period, int, error) {
	p, bundles, err := a.export(to, p)
	return p, bundles, asStorage(err, "export the evidence", a.Dir)
}

func (a Archive) export(to Sink, p Period) (Period, int, error) {
	chains, err := Chains(a.Dir)
	if err != nil {
		return p, 0, err
	}
	copied := func(name string) error {
		f, err := os.Open(filepath.Join(a.Dir, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		return errors.Join(to.Put(name, f), f.Close())
	}
	done, own := map[string]bool{}, a.Signer.Key().ID()
	for _, chain := range chains {
		id := filepath.Base(chain)
		part, entries, err := stretch(chain, p)
		if err != nil {
			return p, 0, err
		}
		if len(entries) > 0 && id != own {
			if err := copied(path.Join(Folder, id, publicFile)); err != nil {
				return p, 0, err
			}
		}
		for _, e := range entries {
			if err := copied(path.Join(Folder, id, e.String())); err != nil {
				return p, 0, err
			}
			if e.Kind != KindRun || done[e.Run] {
				continue
			}
			done[e.Run] = true
			if err := a.exportBundle(e.Run, p.Artefacts, copied); err != nil {
				return p, 0, err
			}
		}
		if len(entries) > 0 {
			p.Parts = append(p.Parts, part)
		}
	}
	if err := to.Put(path.Join(Folder, own, publicFile), bytes.NewReader(a.Signer.Key().PEM())); err != nil {
		return p, 0, err
	}
	if len(p.Parts) == 0 {
		return p, 0, &firedrill.Error{Op: "export the evidence", Kind: firedrill.KindUsage, Detail: "nothing was signed in that period", Remedy: "see: firedrill history"}
	}
	var heads []subject
	for _, part := range p.Parts {
		heads = append(heads, subject{part.Key, digest{part.Head}})
	}
	data, err := a.Signer.seal(exportType, heads, p)
	if err != nil {
		return p, 0, err
	}
	return p, len(done), to.Put(path.Join(Folder, exportFile), bytes.NewReader(data))
}

func (a Archive) exportBundle(run string, artefacts bool, copied func(string) error) error {
	dir := path.Join(RunsFolder, run)
	files, err := list(os.DirFS(a.Dir), dir)
	if err != nil {
		return err
	}
	for _, name := range append(files, StatementFile) {
		if artefacts || name == StatementFile || IsDocument(name) {
			if err := copied(path.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// stretch finds the entries of a chain that were signed in a period, without gaps
// between them.
func stretch(chain string, p Period) (part Part, found []Entry, err error) {
	entries, err := Entries(chain)
	if err != nil {
		return part, nil, err
	}
	part.Key = filepath.Base(chain)
	previous, last := "", 0
	var heads []string
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(chain, e.String()))
		if err != nil {
			return part, nil, err
		}
		at, err := signedAt(data)
		if err != nil {
			return part, nil, &firedrill.Error{Op: "export the evidence", Kind: firedrill.KindCorrupt, Target: e.String(), Detail: "it cannot be read", Remedy: "see: firedrill evidence verify", Err: err}
		}
		hash := sum(data)
		in := !at.Before(p.From) && at.Before(p.To)
		if in && len(found) == 0 {
			part.First, part.Previous = e.Sequence, previous
		}
		if in || len(found) > 0 {
			found, heads = append(found, e), append(heads, hash)
		}
		if in {
			last = len(found)
		}
		previous = hash
	}
	if last == 0 {
		return part, nil, nil
	}
	part.Last, part.Head = found[last-1].Sequence, heads[last-1]
	return part, found[:last], nil
}

// signedAt reads from an entry when it was signed, without checking it.
func signedAt(data []byte) (time.Time, error) {
	var e dsse.Envelope
	if err := json.Unmarshal(data, &e); err != nil {
		return time.Time{}, err
	}
	payload, err := base64.StdEncoding.DecodeString(e.Payload)
	if err != nil {
		return time.Time{}, err
	}
	var s struct{ Predicate Link }
	err = json.Unmarshal(payload, &s)
	return s.Predicate.At, err
}

// export reads what part of the evidence is here, if it is an export. One of its
// chains has to have signed it.
func (v *verifier) export(chains []string) {
	file := path.Join(Folder, exportFile)
	data, err := fs.ReadFile(v.fs, file)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	at := Finding{File: file}
	if err != nil {
		v.found(at, "cannot be read: "+plainError(err))
		return
	}
	var e dsse.Envelope
	if json.Unmarshal(data, &e) != nil || len(e.Signatures) != 1 {
		v.found(at, "is no envelope: it was changed or cut off")
		return
	}
	id := e.Signatures[0].KeyID
	for _, c := range chains {
		if c != id {
			continue
		}
		k := v.key(id)
		if !k.ok {
			return
		}
		s, err := k.key.open(data)
		var p Period
		switch {
		case err != nil:
			v.found(at, err.Error())
		case s.PredicateType != exportType || json.Unmarshal(s.Predicate, &p) != nil:
			v.found(at, "is signed and says nothing about an export")
		default:
			v.period, v.report.Export = &p, &p
		}
		return
	}
	v.found(at, fmt.Sprintf("names the key %s, which none of the chains here has", shortID(id)))
}
