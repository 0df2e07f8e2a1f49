package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/projection"
)

// mark is a position of the log that stands elsewhere on the disk: the store's high-water mark, or the
// checkpoint of a view.
type mark struct {
	where    string
	Store    string              `json:"store"`
	Position eventstore.Position `json:"position"`
	Commit   string              `json:"commit"`
}

// marks reads the marks from their buckets, without the packages that write them. Of the view's buckets only
// the one counts that the view's record names as serving, because nobody has read an unfinished build.
func marks(ctx context.Context, js jetstream.JetStream) ([]mark, error) {
	var served struct {
		Bucket string `json:"bucket"`
	}
	if err := read(ctx, js, storeName+"_control", "view."+viewName, &served); err != nil {
		return nil, err
	}
	highest, checkpoint := mark{where: "the high-water mark"}, mark{where: "the view's checkpoint"}
	err := read(ctx, js, storeName+"_control", "mark", &highest)
	if served.Bucket != "" {
		err = errors.Join(err, read(ctx, js, served.Bucket, "=checkpoint", &checkpoint))
	}
	return slices.DeleteFunc([]mark{highest, checkpoint}, func(m mark) bool { return m.Position == 0 }), err
}

// read reads a document from a bucket. If there is none, it leaves the target unchanged.
func read(ctx context.Context, js jetstream.JetStream, bucket, key string, document any) error {
	s, err := js.Stream(ctx, "KV_"+bucket)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	msg, err := s.GetLastMsgForSubject(ctx, "$KV."+bucket+"."+key)
	if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && len(msg.Data) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(msg.Data, document)
}

// goOn accepts what was lost, brings the view up to the log's end, compares the two, and writes one more transaction.
func (c *check) goOn(ctx context.Context, lost *eventstore.LogRewoundError) error {
	switch {
	case lost != nil:
		if err := errors.Join(c.store.Close(), eventstore.AcceptRewind(ctx, c.runtime.Commands(), lost)); err != nil {
			return err
		}
		store, err := openStore(ctx, c.runtime, false)
		if err != nil {
			return fmt.Errorf("open after the loss was accepted: %w", err)
		}
		c.store = store
	case c.said:
		return nil // the log is damaged, and that was reported
	}
	view, err := openView(ctx, c.store, &projection.Config{Heartbeat: 100 * time.Millisecond, StandBy: 500 * time.Millisecond})
	if err != nil {
		return err
	}
	defer func() { _ = view.Close() }()
	running, stop := context.WithCancelCause(ctx)
	var runner sync.WaitGroup
	runner.Go(func() { stop(errors.Join(errStopped, view.Run(running))) })
	defer runner.Wait()
	defer stop(nil)
	before := len(c.wrong)
	err = errors.Join(c.compare(running, view), c.another(running, view))
	if err == nil && len(c.wrong) == before {
		status, err := view.Status(running)
		c.tornView = int(status.Torn)
		return err
	}
	// A view whose checkpoint is ahead of the log has documents of lost commits, until its runner refuses the
	// log.
	select {
	case <-running.Done():
	case <-time.After(refusal):
	}
	if cause := context.Cause(running); cause != nil && c.report(cause) {
		c.wrong = c.wrong[:before]
		return nil
	}
	return err
}

// refusal bounds the time that a view takes to refuse a log.
const refusal = 20 * time.Second

var errStopped = errors.New("the view has stopped")

// compare waits until the view has caught up, and compares its documents with the log.
func (c *check) compare(ctx context.Context, view *projection.View[balance]) error {
	if err := waitFor(ctx, view, c.log.end); err != nil {
		return err
	}
	documents := make(map[string]balance)
	parts := int64(0)
	for entry, err := range view.List(ctx) {
		if err != nil {
			return err
		}
		documents[entry.Key] = entry.Value
		if strings.HasPrefix(entry.Key, parties+".") {
			parts += entry.Value.Amount
		}
	}
	if parts != 0 {
		c.wrongf("half: the view has %d for all parties together", parts)
	}
	if !maps.Equal(documents, c.log.documents) {
		c.wrongf("the view is not what the log says: %d documents, %d are wanted", len(documents), len(c.log.documents))
	}
	return nil
}

// waitFor waits for the view, also before its first build is done.
func waitFor(ctx context.Context, view *projection.View[balance], position eventstore.Position) error {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		err := view.WaitFor(ctx, position)
		if !errors.Is(err, projection.ErrNotReady) {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// another writes a transaction, which must be stored and reach the view.
func (c *check) another(ctx context.Context, view *projection.View[balance]) error {
	heads := make([]eventstore.Head, ownParties)
	for i := range heads {
		var err error
		if heads[i], err = c.store.Head(ctx, stream(parties, i)); err != nil {
			return err
		}
	}
	commits, err := c.store.AppendAll(ctx, transaction(0, heads)...)
	if err != nil {
		return fmt.Errorf("the next transaction: %w", err)
	}
	if err := waitFor(ctx, view, commits[len(commits)-1].Position); err != nil {
		return err
	}
	for i, commit := range commits {
		b, err := view.Get(ctx, key(commit.Stream))
		if err != nil {
			return err
		}
		if want := c.log.documents[key(commit.Stream)].Commits + 1; b.Commits != want {
			c.wrongf("%s has %d commits in the view after transaction part %d, want %d", commit.Stream, b.Commits, i, want)
		}
	}
	return nil
}
