package reactor

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/kv"
)

// Status is how a reactor stood when its checkpoint was written last, by whichever instance runs.
type Status struct {
	// Position is the position up to which every event to which this Reactor reacts was handled, waits in a parked
	// stream, or was discarded.
	Position eventstore.Position
	End      eventstore.Position // of the log, now
	Runner   string              // the id of the Run that runs, "" for none
	Written  time.Time           // by the server's clock; an instance that runs writes every [Config.Heartbeat]
	UnderWay int                 // events that were read and not handled yet
	Parked   int                 // streams
	Held     map[string]int      // how many streams wait for breakers, by the breakers' names
	// Waiting holds the types of events to which another release reacts and the one that ran last does not, each with
	// the position up to which its events were handled. It is nil if there are none.
	Waiting map[string]eventstore.Position
}

// Status asks the server how the reactor stands. Any process may ask. It returns an error that matches kv.ErrNotFound
// if the checkpoint was deleted, and kv.ErrDecode or ErrInvalid if its key holds something else. Otherwise it returns
// the error of asking the servers.
func (r *Reactor) Status(ctx context.Context) (Status, error) {
	entry, err := r.documents.GetLeader(ctx, r.key(checkpointName))
	if err != nil {
		return Status{}, fmt.Errorf("reactor: %s: status: %w", r.name, err)
	}
	at, err := r.standOf(entry)
	if err != nil {
		return Status{}, fmt.Errorf("reactor: %s: status: %w", r.name, err)
	}
	end, err := r.store.End(ctx)
	if err != nil {
		return Status{}, fmt.Errorf("reactor: %s: status: %w", r.name, err)
	}
	return Status{
		Position: at.lowest(r.types), End: end, Runner: at.Runner, Written: entry.Time, UnderWay: at.UnderWay, Parked: at.Parked,
		Held: at.Held, Waiting: at.waiting(),
	}, nil
}

// Parked yields the streams that are parked, the one that changed least recently first. If it fails, it yields one
// error and ends.
func (r *Reactor) Parked(ctx context.Context) iter.Seq2[Parked, error] {
	return func(yield func(Parked, error) bool) {
		for entry, err := range r.documents.List(ctx, r.key(parkedPrefix)+".>") {
			if err != nil {
				yield(Parked{}, fmt.Errorf("reactor: %s: parked streams: %w", r.name, err))
				return
			}
			if !yield(entry.Value.parked(), nil) {
				return
			}
		}
	}
}

// Discarded yields the events that were discarded, in the order in which that happened. If it fails, it yields one
// error and ends.
func (r *Reactor) Discarded(ctx context.Context) iter.Seq2[Discarded, error] {
	return func(yield func(Discarded, error) bool) {
		for entry, err := range r.documents.List(ctx, r.key(discardedPrefix)+".>") {
			if err != nil {
				yield(Discarded{}, fmt.Errorf("reactor: %s: discarded events: %w", r.name, err))
				return
			}
			if !yield(entry.Value.discarded(entry.Time), nil) {
				return
			}
		}
	}
}

// ShowParked returns one parked stream, from the bucket's leader. It returns an error that matches ErrNotParked if
// the stream is not parked.
func (r *Reactor) ShowParked(ctx context.Context, stream eventstore.StreamID) (Parked, error) {
	entry, err := r.documents.GetLeader(ctx, r.parkedKey(stream))
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return Parked{}, r.notParked(stream, "nothing of it waits")
	case err != nil:
		return Parked{}, fmt.Errorf("reactor: %s: %w", r.name, err)
	}
	return entry.Value.parked(), nil
}

// ReplayParked asks that the events of a parked stream are handled again, from the one that failed on. It returns
// once the wish is stored. The instance that runs, in whichever process, sees the wish and acts; if none runs, the
// next one does. The stream then goes on, or is parked again. ReplayParked leaves a stream alone that is replayed
// already. It returns an error that matches ErrNotParked if the stream is not parked.
func (r *Reactor) ReplayParked(ctx context.Context, stream eventstore.StreamID) error {
	return r.wish(ctx, stream, func(d document) (document, error) {
		if d.State == stateParked {
			d.State = stateReplay
		}
		return d, nil
	})
}

// ReplayAllParked is [Reactor.ReplayParked] for every stream that is parked now. It returns for how many streams it has
// asked, also if it then fails. It passes over a stream that is not parked any more. It fails like [Reactor.Parked] and
// [Reactor.ReplayParked].
func (r *Reactor) ReplayAllParked(ctx context.Context) (int, error) {
	n := 0
	for parked, err := range r.Parked(ctx) {
		if err != nil {
			return n, err
		}
		if parked.Replaying {
			continue
		}
		err := r.ReplayParked(ctx, parked.Stream)
		if errors.Is(err, ErrNotParked) {
			continue // somebody was faster
		}
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// Discard asks that the event at which a stream is parked is left out for good, and that the stream goes on after it.
// The caller names the event by its version, as [Parked] has it, so that no other event is left out. The event is
// recorded; see [Reactor.Discarded]. Discard returns once the wish is stored, as [Reactor.ReplayParked] does, or an
// error that matches ErrNotParked if the stream is not parked at that version.
func (r *Reactor) Discard(ctx context.Context, stream eventstore.StreamID, version eventstore.Version) error {
	return r.wish(ctx, stream, func(d document) (document, error) {
		switch {
		case d.State == stateReplay:
			return d, r.notParked(stream, "it is replayed: see whether it is parked again")
		case d.Version != version:
			return d, r.notParked(stream, fmt.Sprintf("it is parked at version %d, not at %d", d.Version, version))
		}
		d.State = stateDiscard
		return d, nil
	})
}

// wish writes what is to become of a parked stream into its document.
func (r *Reactor) wish(ctx context.Context, stream eventstore.StreamID, change func(document) (document, error)) error {
	_, _, err := r.documents.Modify(ctx, r.parkedKey(stream), func(d document, found bool) (document, error) {
		if !found {
			return d, r.notParked(stream, "nothing of it waits")
		}
		return change(d)
	})
	if err != nil && !errors.Is(err, ErrNotParked) {
		return fmt.Errorf("reactor: %s: %w", r.name, err)
	}
	return err
}

func (r *Reactor) notParked(stream eventstore.StreamID, why string) error {
	return fmt.Errorf("reactor: %s: %s: %w: %s", r.name, stream, ErrNotParked, why)
}
