package cli

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/zalando/go-keyring"
)

// ringPatience is how long the system's key ring may take. One that asks a person for
// its password takes longer, and nobody may be there.
const ringPatience = 20 * time.Second

const ringService = "firedrill evidence"

// keyRing is the key ring of the operating system.
type keyRing struct{ getenv func(string) string }

// Get gives a secret.
func (k keyRing) Get(id string) (string, error) {
	return k.ask(func() (string, error) { return keyring.Get(ringService, id) })
}

// Set keeps a secret.
func (k keyRing) Set(id, secret string) error {
	_, err := k.ask(func() (string, error) { return "", keyring.Set(ringService, id, secret) })
	return err
}

// ask bounds what the library does, which itself waits for ever. Where there is no
// session bus the library would start one: then there is no key ring either.
func (k keyRing) ask(do func() (string, error)) (string, error) {
	if runtime.GOOS == "linux" && k.getenv("DBUS_SESSION_BUS_ADDRESS") == "" {
		if _, err := os.Stat("/run/user/" + strconv.Itoa(os.Getuid()) + "/bus"); err != nil {
			return "", errors.New("this session has no key ring (no D-Bus)")
		}
	}
	type answer struct {
		secret string
		err    error
	}
	answered := make(chan answer, 1)
	go func() {
		secret, err := do()
		answered <- answer{secret, err}
	}()
	select {
	case got := <-answered:
		return got.secret, got.err
	case <-time.After(ringPatience):
		return "", errors.New("the key ring did not answer within " + ringPatience.String())
	}
}
