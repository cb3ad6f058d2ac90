package front

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// sized is a response's body of known length. Before it waits for more it
// sends on what has come, so that a Worker that streams is seen to stream; a
// short answer, which comes in one piece, costs no flush of its own.
type sized struct {
	io.ReadCloser
	left  int64
	some  bool
	flush func() error
}

// Read implements io.Reader.
func (b *sized) Read(p []byte) (int, error) {
	if b.some && b.left > 0 {
		_ = b.flush() // a client that is gone is noticed by the next write
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	b.some = n > 0
	return n, err
}

// buffers lends the buffers through which bodies are copied.
type buffers struct{ pool sync.Pool }

func newBuffers() *buffers {
	return &buffers{sync.Pool{New: func() any { return new([copyBuffer]byte) }}}
}

// copyBuffer is how much of a body is moved at a time, in bytes.
const copyBuffer = 32 << 10

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	buf, ok := b.pool.Get().(*[copyBuffer]byte)
	if !ok {
		buf = new([copyBuffer]byte)
	}
	return buf[:]
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(buf []byte) { b.pool.Put((*[copyBuffer]byte)(buf)) }

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
