package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/kv"
	"github.com/runnel-go/runnel/natsrun"
)

// front is the bank's HTTP server. It listens as long as the process runs. While no bank is open behind it, it answers
// so with the reason, and logs it each second.
type front struct {
	http     *http.Server
	listener net.Listener
	log      *slog.Logger
	bank     atomic.Pointer[http.Handler] // nil while no bank is open
	reason   atomic.Pointer[string]       // why none is
	served   chan error                   // receives why the server has stopped
	stopping sync.Once
	stopped  chan struct{} // closed when the server takes no more requests
	running  sync.WaitGroup
}

// listen begins to serve. The caller must call close.
func listen(ctx context.Context, addr string, log *slog.Logger) (*front, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("bank: %w: choose another --addr", err)
	}
	f := &front{listener: listener, log: log, served: make(chan error, 1), stopped: make(chan struct{})}
	f.http = &http.Server{
		Handler:           f,
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       requestTime,
		WriteTimeout:      answerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	f.waits(errors.New("it is being opened"))
	f.running.Go(f.tell)
	f.running.Go(func() { f.served <- f.http.Serve(listener) })
	return f, nil
}

// waits says why no bank is open.
func (f *front) waits(why error) {
	text := why.Error()
	f.reason.Store(&text)
}

// tell logs each second that no bank is open.
func (f *front) tell() {
	again := time.NewTicker(time.Second)
	defer again.Stop()
	open := time.Now() // when the bank was open last, or the process began
	for {
		select {
		case <-f.stopped:
			return
		case <-again.C:
		}
		if f.bank.Load() != nil {
			open = time.Now()
			continue
		}
		f.log.Warn("the bank is not open yet", slog.Duration("since", time.Since(open).Round(time.Second)),
			slog.String("addr", f.listener.Addr().String()), slog.String("reason", *f.reason.Load()))
	}
}

// ServeHTTP answers for the bank, or says why none is open.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if bank := f.bank.Load(); bank != nil {
		(*bank).ServeHTTP(w, r)
		return
	}
	setSecurityHeaders(w.Header())
	w.Header().Set("Retry-After", "1")
	switch r.URL.Path {
	case "/healthz":
		w.Header().Del("Retry-After")
		writeLive(w)
	case "/readyz":
		writeJSON(w, "application/json", http.StatusServiceUnavailable, struct {
			Ready  bool   `json:"ready"`
			Reason string `json:"reason"`
		}{false, *f.reason.Load()})
	default:
		writeJSON(w, "application/problem+json", http.StatusServiceUnavailable,
			newProblem(http.StatusServiceUnavailable, "the bank is not open yet, nothing was booked: send it again"))
	}
}

// serve answers for a bank until ctx ends. Then it ends the streams and finishes the requests under way, unless the
// connections to NATS were lost, after which another bank is opened.
func (f *front) serve(ctx context.Context, s *server) error {
	handler := s.handler()
	f.bank.Store(&handler)
	defer f.bank.Store(nil)
	select {
	case err := <-f.served:
		return err
	case <-ctx.Done():
	}
	f.waits(context.Cause(ctx))
	close(s.closing)
	if errors.Is(context.Cause(ctx), natsrun.ErrConnectionClosed) {
		return nil
	}
	return f.close(ctx)
}

// open reports whether requests are still taken.
func (f *front) open() bool {
	select {
	case <-f.stopped:
		return false
	default:
		return true
	}
}

// close finishes the requests under way and stops the server. It may be called again.
func (f *front) close(ctx context.Context) (err error) {
	f.stopping.Do(func() {
		close(f.stopped)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
		defer cancel()
		if err = f.http.Shutdown(ctx); err != nil {
			err = errors.Join(err, f.http.Close())
		}
		f.running.Wait()
	})
	return err
}

// passes reports whether a start has failed for a reason that passes by itself: no server is reached, or the servers
// cannot store at the moment.
func passes(err error) bool {
	var network *net.OpError
	unreachable := errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, io.EOF) || errors.As(err, &network)
	return errors.Is(err, natsrun.ErrConnect) && unreachable || errors.Is(err, eventstore.ErrUnavailable) || errors.Is(err, kv.ErrUnavailable)
}
