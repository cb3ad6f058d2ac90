package backup

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"

	"firedrill"
)

// spool holds any number of keys in little memory: in a file that has no name, so
// that nothing is left of it whatever happens.
type spool struct {
	file *os.File
	out  *bufio.Writer
	n    int64
}

func newSpool() (*spool, error) {
	f, err := os.CreateTemp("", "firedrill-keys-")
	if err != nil {
		return nil, spoolFailed(err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, spoolFailed(errors.Join(err, f.Close()))
	}
	return &spool{file: f, out: bufio.NewWriter(f)}, nil
}

// spoolFailed is the error of the folder for temporary files.
func spoolFailed(err error) error {
	if err == nil {
		return nil
	}
	return &firedrill.Error{Op: "keep keys in a temporary file", Kind: firedrill.KindStorage, Target: os.TempDir(), Err: err,
		Remedy: "free the folder for temporary files, or name another one: TMPDIR"}
}

func (s *spool) add(key string) error {
	line, err := json.Marshal(key)
	if err == nil {
		_, err = s.out.Write(append(line, '\n'))
	}
	s.n++
	return spoolFailed(err)
}

// full makes sure that all keys could be kept, so that whoever acts on them in the
// end knows it before it begins.
func (s *spool) full() error { return spoolFailed(s.out.Flush()) }

// each hands on the keys in the order in which they came, up to most at a time.
func (s *spool) each(most int, visit func([]string) error) error {
	if err := s.full(); err != nil {
		return err
	}
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return spoolFailed(err)
	}
	dec := json.NewDecoder(bufio.NewReader(s.file))
	var keys []string
	for range s.n {
		var k string
		if err := dec.Decode(&k); err != nil {
			return spoolFailed(err)
		}
		if keys = append(keys, k); len(keys) == most {
			if err := visit(keys); err != nil {
				return err
			}
			keys = nil
		}
	}
	if len(keys) == 0 {
		return nil
	}
	return visit(keys)
}

func (s *spool) Close() error { return s.file.Close() }
