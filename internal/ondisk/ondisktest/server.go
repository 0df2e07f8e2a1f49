// Package ondisktest makes the disk of a test's server slow, and breaks it.
package ondisktest

import (
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/runnel-go/runnel/internal/ondisk"
)

// Server is a server that leaves the syncing to its host, and whose disk does what a test asks for. Pass it to
// nats.InProcessServer. It is safe for concurrent use.
type Server struct {
	nats.InProcessConnProvider
	disk *ondisk.Disk

	mu      sync.Mutex // guards the fields below
	held    chan struct{}
	reached chan struct{} // closed when a sync is held up
	broken  error
	flushes int
}

// New makes such a server of a nats-server.
func New(server nats.InProcessConnProvider) *Server {
	s := &Server{InProcessConnProvider: server}
	s.disk = ondisk.New(s.flush)
	return s
}

// Disk returns the disk that connections to the server wait for.
func (s *Server) Disk() *ondisk.Disk { return s.disk }

func (s *Server) flush() error {
	s.mu.Lock()
	s.flushes++
	held, reached := s.held, s.reached
	s.reached = nil
	s.mu.Unlock()
	if reached != nil {
		close(reached)
	}
	if held != nil {
		<-held
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// Hold makes syncs wait that begin from now on. The channel is closed when the first of them waits. The
// function release lets them go on.
func (s *Server) Hold() (reached <-chan struct{}, release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held, first := make(chan struct{}), make(chan struct{})
	s.held, s.reached = held, first
	return first, sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.held == held {
			s.held, s.reached = nil, nil
		}
		close(held)
	})
}

// Break makes syncs fail that end from now on.
func (s *Server) Break(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = err
}

// Flushes returns the number of syncs that have begun.
func (s *Server) Flushes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flushes
}
