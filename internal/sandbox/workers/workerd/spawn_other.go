//go:build !linux

package workerd

import (
	"fmt"
	"os"
	"path/filepath"
)

// configSource holds a configuration in a file of the private run folder that
// has no name any more once the process is started.
type configSource struct {
	file *os.File
	name string
}

func newConfigSource(text []byte, dir string) (*configSource, error) {
	name := filepath.Join(dir, "config.capnp")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(text); err != nil {
		closeAll(f)
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	return &configSource{file: f, name: name}, nil
}

func (c *configSource) path(int) string { return c.name }

func (c *configSource) erase() {
	_ = c.file.Truncate(0) // best effort before the name goes
	_ = os.Remove(c.name)  // the folder is removed with the process anyway
	closeAll(c.file)
}
