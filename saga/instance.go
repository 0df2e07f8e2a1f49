package saga

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/backoff"
	"github.com/runnel-go/runnel/internal/sagaevent"
)

// instance is one saga as its history says, up to some version.
type instance[S any] struct {
	id     string
	status Status
	head   eventstore.Head
	data   []byte // in msgpack, as it was written last

	until time.Time // for its runner: up to when it can be sure of its claim

	// Of the first commit.
	started []byte
	meta    eventstore.Metadata
}

// transition decides the events that follow from what a saga is, none if nothing follows, or says why it cannot. It
// runs again if the saga has gone on meanwhile, so it must be pure.
type transition func(s Status) ([]eventstore.Event, error)

// conflicts spaces the tries of one transition, of which there are at most maxConflicts.
var conflicts = backoff.Policy{Base: time.Millisecond, Max: 100 * time.Millisecond}

const maxConflicts = 30

// load returns a saga from the leader's newest version. A saga that was not started has version 0. It returns an
// error that matches eventstore.ErrUnknownType or ErrUndecodable if a later release has written what this one does
// not know.
func (m *Manager[S]) load(ctx context.Context, id string) (instance[S], error) {
	in := instance[S]{id: id}
	history, err := m.store.Load(ctx, m.stream(id), eventstore.Leader())
	if err != nil {
		return in, err
	}
	for _, c := range history.Commits {
		for recorded := range c.Events() {
			decoded, err := recorded.Decode()
			if err != nil {
				return in, err
			}
			in.apply(decoded[0], recorded)
		}
	}
	in.head = history.Head
	return in, nil
}

// change appends what follows from a saga, and brings the instance up to it. If the saga has gone on meanwhile, it is
// loaded and decided anew.
func (m *Manager[S]) change(ctx context.Context, in *instance[S], decide transition) error {
	for try := 1; ; try++ {
		events, err := m.definition.checked(in.status, decide)
		if err != nil || len(events) == 0 {
			return err
		}
		c, err := m.store.Append(ctx, m.stream(in.id), in.head, events...)
		if err == nil {
			in.append(c, events)
			return nil
		}
		if !errors.Is(err, eventstore.ErrConflict) || try == maxConflicts {
			return err
		}
		if try > 1 {
			if err := conflicts.Wait(ctx, try-1); err != nil {
				return err
			}
		}
		newer, err := m.load(ctx, in.id)
		if err != nil {
			return err
		}
		*in = newer
	}
}

func (in *instance[S]) append(c *eventstore.Commit, events []eventstore.Event) {
	for i, event := range events {
		in.apply(event, eventstore.Recorded{Commit: c, Index: i})
	}
	in.head = c.Head()
}

func (in *instance[S]) apply(event eventstore.Event, r eventstore.Recorded) {
	in.status = in.status.apply(event, r)
	switch e := event.(type) {
	case sagaevent.Started:
		in.data, in.started, in.meta = e.Data, e.Data, r.Metadata
	case sagaevent.StepDone:
		in.keep(e.Data)
	case sagaevent.Undone:
		in.keep(e.Data)
	}
}

func (in *instance[S]) keep(data []byte) {
	if data != nil {
		in.data = data
	}
}

// changed returns the data to write down, or nil if it is as before.
func (d *Definition[S]) changed(in *instance[S], data S) ([]byte, error) {
	encoded, err := d.encode(in.id, data)
	if err != nil || bytes.Equal(encoded, in.data) {
		return nil, err
	}
	return encoded, nil
}
