package workers_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// webSocket is a client for short text messages.
type webSocket struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

// dialWebSocket upgrades a connection to a Worker.
func (b *box) dialWebSocket(worker, path string) *webSocket {
	b.t.Helper()
	t, ok := b.t.(*testing.T)
	if !ok {
		b.t.Fatal("not a test")
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // it may have been closed by the test
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", path, worker)
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("upgrade: %v %v", resp, err)
	}
	return &webSocket{t, conn, r}
}

// say sends one text of less than 126 bytes, masked with zeros.
func (w *webSocket) say(text string) {
	w.t.Helper()
	if _, err := w.conn.Write(append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...)); err != nil {
		w.t.Fatal(err)
	}
}

// hear reads one text.
func (w *webSocket) hear() string {
	w.t.Helper()
	head := make([]byte, 2)
	if _, err := io.ReadFull(w.r, head); err != nil || head[0] != 0x81 || head[1] > 125 {
		w.t.Fatalf("frame %v, %v", head, err)
	}
	text := make([]byte, head[1])
	if _, err := io.ReadFull(w.r, text); err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

// ended waits for the other side to end the connection.
func (w *webSocket) ended() {
	w.t.Helper()
	if _, err := io.Copy(io.Discard, w.r); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		w.t.Errorf("the socket ended with %v", err)
	}
}
