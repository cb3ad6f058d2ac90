package workerd

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// cachePath is where the pinned binary is kept.
func (l Locator) cachePath() (path string, pin Pin, err error) {
	pin, ok := l.pin()
	if !ok {
		return "", Pin{}, fmt.Errorf("find workerd: there is no build for %s: set %s to one of your own", l.platform(), EnvBinary)
	}
	root := l.CacheDir
	if root == "" {
		if root, err = os.UserCacheDir(); err != nil {
			return "", Pin{}, fmt.Errorf("find workerd: %w: set %s to a binary", err, EnvBinary)
		}
	}
	return filepath.Join(root, "firedrill", "workerd", pin.Version, "workerd"), pin, nil
}

// cached returns the binary in the cache. One with another checksum counts as
// missing: it is damaged or not ours, and a fetch replaces it.
func (l Locator) cached(ctx context.Context) (Binary, error) {
	path, pin, err := l.cachePath()
	if err != nil {
		return Binary{}, err
	}
	st, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return Binary{}, ErrNotFound
	}
	if err != nil {
		return Binary{}, fmt.Errorf("find workerd: %w", err)
	}
	if !checkedBefore(path, pin, st) {
		if err := l.check(path, pin, st); err != nil {
			return Binary{}, err
		}
	}
	return inspect(ctx, path, FromCache)
}

// check compares the checksum, and notes that it was right.
func (l Locator) check(path string, pin Pin, st os.FileInfo) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("find workerd: %w", err)
	}
	sum, err := checksum(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("find workerd: %w", err)
	}
	if sum != pin.SHA256 {
		l.say("%s has the wrong checksum and is replaced", path)
		return ErrNotFound
	}
	// Without the note the next start computes the sum again.
	_ = os.WriteFile(path+checkedSuffix, []byte(checkedNote(pin, st)), 0o600)
	return nil
}

// Computing the checksum takes longer than starting the binary, so a note beside
// it says of which file it was right: one of this size that was last written at
// this time.
const checkedSuffix = ".checked"

func checkedNote(pin Pin, st os.FileInfo) string {
	return fmt.Sprintf("%s %d %d\n", pin.SHA256, st.Size(), st.ModTime().UnixNano())
}

func checkedBefore(path string, pin Pin, st os.FileInfo) bool {
	note, err := os.ReadFile(path + checkedSuffix)
	return err == nil && string(note) == checkedNote(pin, st)
}

// Fetch gets the pinned binary through npm, checks it, and puts it into the
// cache. Several processes may do so at once: each works in a folder of its
// own, and the last step is one rename.
func (l Locator) Fetch(ctx context.Context) (_ Binary, err error) {
	path, pin, err := l.cachePath()
	if err != nil {
		return Binary{}, err
	}
	npm := l.NPM
	if npm == "" {
		if npm, err = l.lookPath("npm"); err != nil {
			return Binary{}, fmt.Errorf("workerd was not found, and there is no npm to fetch it with: install Node.js with npm, or set %s to a workerd binary", EnvBinary)
		}
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Binary{}, fmt.Errorf("fetch workerd: %w", err)
	}
	tmp, err := os.MkdirTemp(dir, "fetch-")
	if err != nil {
		return Binary{}, fmt.Errorf("fetch workerd: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()

	spec := pin.Package + "@" + pin.Version
	l.say("fetching %s with npm", spec)
	archive, err := npmPack(ctx, npm, spec, tmp)
	if err != nil {
		return Binary{}, err
	}
	l.say("unpacking and checking %s", spec)
	sum, err := unpack(archive, filepath.Join(tmp, "workerd"))
	if err != nil {
		return Binary{}, fmt.Errorf("fetch workerd: unpack %s: %w", spec, err)
	}
	if sum != pin.SHA256 {
		return Binary{}, fmt.Errorf("fetch workerd: the binary in %s has the checksum %s instead of %s and is not used: check where npm fetches from, or set %s to a binary that you trust", spec, sum, pin.SHA256, EnvBinary)
	}
	if err := os.Rename(filepath.Join(tmp, "workerd"), path); err != nil {
		return Binary{}, fmt.Errorf("fetch workerd: %w", err)
	}
	b, err := inspect(ctx, path, FromNPM)
	if err != nil {
		return Binary{}, fmt.Errorf("fetch workerd: the fetched binary does not run: %w", err)
	}
	return b, nil
}

// npmPack downloads a package into dir and returns the archive's path.
func npmPack(ctx context.Context, npm, spec, dir string) (string, error) {
	cmd := exec.CommandContext(ctx, npm, "pack", "--silent", "--ignore-scripts", "--pack-destination", dir, spec)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if _, err := cmd.Output(); err != nil {
		return "", fmt.Errorf("fetch workerd: npm pack %s: %w: %s: check the network and npm's registry setting, or set %s to a binary",
			spec, err, strings.TrimSpace(stderr.String()), EnvBinary)
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(found) != 1 {
		return "", errors.Join(fmt.Errorf("fetch workerd: npm pack %s left %d archives", spec, len(found)), err)
	}
	return found[0], nil
}

// unpack extracts the one file package/bin/workerd, durable and executable, and
// returns its checksum.
func unpack(archive, to string) (sum string, err error) {
	f, err := os.Open(archive)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // only read
	gz, err := gzip.NewReader(f)
	if err != nil {
		return "", err
	}
	tr := tar.NewReader(gz)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return "", errors.New("the archive has no package/bin/workerd")
		}
		if err != nil {
			return "", err
		}
		if h.Name == "package/bin/workerd" && h.Typeflag == tar.TypeReg {
			break
		}
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
	if err != nil {
		return "", err
	}
	sum, err = checksum(io.TeeReader(tr, out))
	if err == nil {
		err = out.Sync()
	}
	return sum, errors.Join(err, out.Close())
}

func checksum(r io.Reader) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
