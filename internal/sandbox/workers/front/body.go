package front

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// requestBody stands between a client's request body and the transport that
// sends it on. A Worker may answer before it has read the body; the transport
// then may still be reading when the handler ends, and the server itself reads
// what is left after the handler. With full duplex net/http allows neither: it
// would break off the connection. finish makes sure of both.
type requestBody struct {
	rc io.ReadCloser

	mu       sync.Mutex
	finished bool
	reading  bool
	idle     sync.Cond // signalled when reading becomes false
}

func newRequestBody(rc io.ReadCloser) *requestBody {
	b := &requestBody{rc: rc}
	b.idle.L = &b.mu
	return b
}

// Read implements io.Reader.
func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	if b.finished {
		b.mu.Unlock()
		return 0, http.ErrBodyReadAfterClose
	}
	b.reading = true
	b.mu.Unlock()
	n, err := b.rc.Read(p)
	b.mu.Lock()
	b.reading = false
	b.idle.Broadcast()
	b.mu.Unlock()
	return n, err
}

// Close implements io.Closer. The server closes the real body itself.
func (b *requestBody) Close() error { return nil }

// lingerTime is how long the end of a request waits for the rest of a body that
// nobody needs. A client that has not sent all of it by then loses its
// connection.
const lingerTime = 500 * time.Millisecond

// finish ends all reading by others and reads the body to its end.
func (b *requestBody) finish(w http.ResponseWriter) {
	// The error says that the connection is no longer the server's (it was
	// upgraded), and then there is nothing to be read through the server.
	if http.NewResponseController(w).SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	b.mu.Lock()
	b.finished = true
	for b.reading {
		b.idle.Wait()
	}
	b.mu.Unlock()
	// The server sets a new deadline for the next request.
	_, _ = io.Copy(io.Discard, b.rc) // an error ends the connection
}
