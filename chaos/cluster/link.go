package main

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// condition is what a link does with what it is given.
type condition int

const (
	whole  condition = iota // passes everything on
	cut                     // breaks all connections, and lets none live
	silent                  // keeps connections open, takes new ones, and passes nothing on until it is whole again
)

// link is a TCP proxy in front of one address.
type link struct {
	target   string
	listener net.Listener
	running  sync.WaitGroup

	mu      sync.Mutex // guards what follows
	now     condition
	delay   time.Duration         // of each direction
	changed chan struct{}         // closed at each change of what is above
	conns   map[net.Conn]struct{} // of both sides
	closed  bool
}

// openLink opens a link to an address, on a free port. The address need not be taken yet.
func openLink(ctx context.Context, target string) (*link, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &link{target: target, listener: listener, changed: make(chan struct{}), conns: make(map[net.Conn]struct{})}
	l.running.Go(func() { l.accept(ctx) })
	return l, nil
}

func (l *link) addr() string { return l.listener.Addr().String() }

// set changes the condition of the link.
func (l *link) set(to condition) {
	l.change(func() { l.now = to })
	if to == cut {
		l.breakAll()
	}
}

// slow delays everything that passes, in both directions.
func (l *link) slow(by time.Duration) { l.change(func() { l.delay = by }) }

func (l *link) change(do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	do()
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *link) breakAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn := range l.conns {
		_ = conn.Close() // it may be closed by its peer
	}
}

// close ends the link with all its connections.
func (l *link) close() {
	l.change(func() { l.closed, l.now = true, cut })
	_ = l.listener.Close() // a listener returns an error only if it is closed
	l.breakAll()
	l.running.Wait()
}

func (l *link) accept(ctx context.Context) {
	for {
		conn, err := l.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			pause(ctx, 10*time.Millisecond) // too many open files, say
			continue
		}
		l.running.Go(func() { l.serve(ctx, conn) })
	}
}

// serve owns a connection until both of its directions have ended.
func (l *link) serve(ctx context.Context, near net.Conn) {
	defer l.forget(near)
	if !l.admit(near) || !l.pass() {
		return
	}
	far, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", l.target)
	if err != nil {
		return
	}
	defer l.forget(far)
	if !l.admit(far) {
		return
	}
	var directions sync.WaitGroup
	directions.Go(func() { l.carry(near, far) })
	directions.Go(func() { l.carry(far, near) })
	directions.Wait()
}

// admit makes a connection known, unless the link is cut.
func (l *link) admit(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[conn] = struct{}{}
	return l.now != cut
}

func (l *link) forget(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = conn.Close() // it may be closed by its peer
	delete(l.conns, conn)
}

// pass waits while the link is silent. It returns false if it is cut.
func (l *link) pass() bool {
	for {
		l.mu.Lock()
		now, changed := l.now, l.changed
		l.mu.Unlock()
		if now != silent {
			return now == whole
		}
		<-changed
	}
}

// chunk is what was read at once.
type chunk struct {
	data []byte
	due  time.Time
}

// carry passes one direction on, until a side closes. Then it closes both, after what was read has been written.
func (l *link) carry(from, to net.Conn) {
	queue := make(chan chunk, 256)
	var writer sync.WaitGroup
	writer.Go(func() {
		defer func() { _, _ = from.Close(), to.Close() }()
		for c := range queue {
			if wait := time.Until(c.due); wait > 0 {
				pause(context.Background(), wait)
			}
			if !l.pass() {
				break
			}
			if _, err := to.Write(c.data); err != nil {
				break
			}
		}
		for range queue { // so that the reader does not wait for room
		}
	})
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			queue <- chunk{data: append([]byte(nil), buffer[:n]...), due: l.dueAt()}
		}
		if err != nil {
			break
		}
	}
	close(queue)
	writer.Wait()
}

func (l *link) dueAt() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.delay == 0 {
		return time.Time{}
	}
	return time.Now().Add(l.delay)
}
