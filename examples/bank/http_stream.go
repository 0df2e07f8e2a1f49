package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/runnel-go/runnel/kv"
)

const (
	heartbeat   = 15 * time.Second // so that a client that has gone is noticed
	streamWrite = 10 * time.Second // for one write to a client
)

// streamBalances answers GET /events with server-sent events: first each account as it is, then "synced", then every change.
//
//	event: account                              event: synced
//	data: {"id":"anna","balance":"12.50",...}   data: {}
//
// A client that was away begins again, and so misses nothing.
func (s *server) streamBalances(w http.ResponseWriter, r *http.Request) error {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		return newProblem(http.StatusServiceUnavailable, "%d clients follow the balances already", maxStreams).retryLater()
	}
	if err := s.awaitBalances(r.Context()); err != nil {
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
	changes := make(chan kv.Change[Balance])
	var watcher sync.WaitGroup
	watcher.Go(func() { s.watch(ctx, changes) })
	defer watcher.Wait()
	defer cancel()
	s.forward(ctx, w, stream, changes)
	return nil
}

// awaitBalances waits until there are balances to read: a bank that was just started builds them.
func (s *server) awaitBalances(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	return s.bank.views.Balances.WaitFor(ctx, 0)
}

// watch sends the changes of balances until ctx ends or the view fails, then closes changes.
func (s *server) watch(ctx context.Context, changes chan<- kv.Change[Balance]) {
	defer close(changes)
	for change, err := range s.bank.views.Balances.Watch(ctx) {
		if err != nil {
			if ctx.Err() == nil {
				s.log.Warn("a stream of balances ends", "error", err)
			}
			return
		}
		select {
		case changes <- change:
		case <-ctx.Done():
			return
		}
	}
}

// forward writes changes to the client until one of the two has gone or the server shuts down.
func (s *server) forward(ctx context.Context, w http.ResponseWriter, stream *http.ResponseController, changes <-chan kv.Change[Balance]) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		text := ":\n\n" // a comment, which clients pass over
		select {
		case <-s.closing:
			return
		case <-ctx.Done():
			return
		case <-beat.C:
		case change, ok := <-changes:
			if !ok {
				return
			}
			var err error
			if text, err = eventText(change); err != nil {
				return
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

func eventText(change kv.Change[Balance]) (string, error) {
	if change.Synced {
		return "event: synced\ndata: {}\n\n", nil
	}
	data, err := json.Marshal(change.Value)
	return fmt.Sprintf("event: account\ndata: %s\n\n", data), err
}
