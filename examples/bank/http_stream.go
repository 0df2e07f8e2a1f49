package main

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"sync"
	"time"

	"github.com/runnel-go/runnel/projection"
	"github.com/runnel-go/runnel/saga"
)

const (
	heartbeat   = 15 * time.Second // by which the server notices that a client has gone
	streamWrite = 10 * time.Second // for one write to a client
)

// streamChanges answers GET /events with server-sent events. It sends all accounts and all payments that have not
// ended, then "synced", then every change.
//
//	event: account                              event: payment                             event: synced
//	data: {"id":"anna","balance":"12.50",...}   data: {"id":"p1","state":"waiting",...}    data: {}
//
// A client that was disconnected begins again, and so misses nothing. Accounts and payments share one stream, because
// browsers allow six connections to a server.
func (s *server) streamChanges(w http.ResponseWriter, r *http.Request) error {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		return newProblem(http.StatusServiceUnavailable, "%d clients follow the balances already", maxStreams).retryLater()
	}
	if err := s.awaitViews(r.Context()); err != nil {
		return err
	}
	if err := s.reach(r, s.bank.views.Balances, s.bank.payments.View()); err != nil {
		return err
	}
	stream := http.NewResponseController(w)
	// The time for reading the request would end the stream.
	if err := stream.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	ctx, cancel := context.WithCancel(r.Context())
	changes := make(chan change)
	var watchers sync.WaitGroup
	watchers.Go(func() { s.watch(ctx, changes, changesOf(ctx, "account", s.bank.views.Balances, always)) })
	watchers.Go(func() { s.watch(ctx, changes, changesOf(ctx, "payment", s.bank.payments.View(), isOpen)) })
	defer watchers.Wait()
	defer cancel()
	s.forward(ctx, w, stream, changes)
	return nil
}

// watched is how many views a stream follows.
const watched = 2

// change is a message of a view to a stream. An empty text means that the view is synced, or that it has failed if
// ended is true.
type change struct {
	text  string
	ended bool
}

// awaitViews waits until the views can be read. A bank that was just started builds them first.
func (s *server) awaitViews(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	if err := s.bank.views.Balances.WaitFor(ctx, 0); err != nil {
		return err
	}
	return s.bank.payments.View().WaitFor(ctx, 0)
}

func always(Balance) bool { return true }

// isOpen reports whether a payment has not ended.
func isOpen(p saga.Status) bool { return !p.State.Final() }

// changesOf yields the wanted documents of a view, then that the view is synced, then every change.
func changesOf[V any](ctx context.Context, event string, view *projection.View[V], wanted func(V) bool) iter.Seq2[change, error] {
	return func(yield func(change, error) bool) {
		synced := false
		for one, err := range view.Watch(ctx) {
			var c change
			switch {
			case err != nil:
			case one.Synced:
				synced = true
			case one.Deleted || !synced && !wanted(one.Value):
				continue
			default:
				c.text, err = eventText(event, one.Value)
			}
			if !yield(c, err) || err != nil {
				return
			}
		}
	}
}

// watch sends the changes of one view until ctx ends or the view fails.
func (s *server) watch(ctx context.Context, to chan<- change, changes iter.Seq2[change, error]) {
	for c, err := range changes {
		if err != nil {
			if ctx.Err() == nil {
				s.log.Warn("a stream of changes ends", "error", err)
			}
			break
		}
		if !offer(ctx, to, c) {
			return
		}
	}
	offer(ctx, to, change{ended: true})
}

func offer(ctx context.Context, to chan<- change, c change) bool {
	select {
	case to <- c:
		return true
	case <-ctx.Done():
		return false
	}
}

// forward writes changes to the client until the client has gone, a view has failed, or the server shuts down.
func (s *server) forward(ctx context.Context, w http.ResponseWriter, stream *http.ResponseController, changes <-chan change) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for synced := 0; ; {
		text := ":\n\n" // a comment, which clients ignore
		select {
		case <-s.closing:
			return
		case <-ctx.Done():
			return
		case <-beat.C:
		case c := <-changes:
			if c.ended {
				return
			}
			if text = c.text; text == "" {
				if synced++; synced < watched {
					continue
				}
				text = "event: synced\ndata: {}\n\n"
			}
		}
		if err := stream.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil {
			return
		}
		if _, err := fmt.Fprint(w, text); err != nil {
			return
		}
		if err := stream.Flush(); err != nil {
			return
		}
	}
}

func eventText(event string, document any) (string, error) {
	data, err := json.Marshal(document)
	return fmt.Sprintf("event: %s\ndata: %s\n\n", event, data), err
}
