// Package binding answers the calls that Workers make on their bindings.
//
// workerd turns each call on a binding (env.DB.prepare(…).all()) into an HTTP
// request to a service outside the process. Here every such service is one
// server on one unix socket: headers that workerd sets on the request, and that
// the code of a Worker cannot forge, say which kind of binding and which
// resource is meant. A new kind of binding is one more Backend.
package binding

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// The request headers that name the resource. They are set through
// injectRequestHeaders of workerd's configuration.
const (
	HeaderKind = "X-Firedrill-Kind"
	HeaderID   = "X-Firedrill-Id"
)

// Backend serves one kind of binding. id is the resource, for instance the id
// of a database.
type Backend interface {
	ServeBinding(w http.ResponseWriter, r *http.Request, id string)
}

// Server serves the bindings of all Workers on one unix socket.
type Server struct {
	http *http.Server
	done chan error
}

// Listen starts to serve on a unix socket at path, which must be in a folder
// that only the owner can enter. Backends are found by kind.
func Listen(ctx context.Context, path string, backends map[string]Backend, log *slog.Logger) (*Server, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("binding server: %w", err)
	}
	s := &Server{
		http: &http.Server{
			Handler:           route(backends),
			ReadHeaderTimeout: 30 * time.Second,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		},
		done: make(chan error, 1),
	}
	go func() { s.done <- s.http.Serve(l) }()
	return s, nil
}

func route(backends map[string]Backend) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind := r.Header.Get(HeaderKind)
		b := backends[kind]
		if b == nil {
			http.Error(w, fmt.Sprintf("the sandbox has no binding of kind %q", kind), http.StatusNotImplemented)
			return
		}
		b.ServeBinding(w, r, r.Header.Get(HeaderID))
	})
}

// Close lets calls in flight finish until ctx ends, then breaks them off.
func (s *Server) Close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("binding server: calls were still in flight: %w", err), s.http.Close())
	}
	if serve := <-s.done; !errors.Is(serve, http.ErrServerClosed) {
		err = errors.Join(err, serve)
	}
	return err
}
