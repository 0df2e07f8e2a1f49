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
	heartbeat   = 15 * time.Second // so that a client that has gone is noticed
	streamWrite = 10 * time.Second // for one write to a client
)

// streamChanges answers GET /events with server-sent events: first each account and each payment that has not come to its end as
// they are, then "synced", then every change of any.
//
//	event: account                              event: payment                             event: synced
//	data: {"id":"anna","balance":"12.50",...}   data: {"id":"p1","state":"waiting",...}    data: {}
//
// A client that was away begins again, and so misses nothing. They are one stream, since browsers allow a server only six.
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
	stream := http.NewResponseController(w)
	// The request is read; the server's time for that would end the stream.
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

// change is what one view has to tell a stream. The empty text means that it is synced, or has failed and ends.
type change struct {
	text  string
	ended bool
}

// awaitViews waits until there is something to read: a bank that was just started builds its views.
func (s *server) awaitViews(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	if err := s.bank.views.Balances.WaitFor(ctx, 0); err != nil {
		return err
	}
	return s.bank.payments.View().WaitFor(ctx, 0)
}

func always(Balance) bool { return true }

// isOpen reports whether something may still happen to a payment.
func isOpen(p saga.Status) bool { return !p.State.Final() }

// changesOf yields the documents of a view that are wanted at first, then that it is synced, then every change.
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

// forward writes changes to the client until one of the two has gone or the server shuts down.
func (s *server) forward(ctx context.Context, w http.ResponseWriter, stream *http.ResponseController, changes <-chan change) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for synced := 0; ; {
		text := ":\n\n" // a comment, which clients pass over
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
