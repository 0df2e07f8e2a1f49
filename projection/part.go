package projection

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/runnel-go/runnel/eventstore"
)

// A batch takes 1,000 writes, or fewer if the operator of the server says so, and it is written before it has grown
// large or old. So a commit, or a transaction, that changes many documents may be written in several batches, in the
// order of its units. The checkpoint keeps its position until the last of them, and says what the others have written:
//
//	batch 1  units a to k         checkpoint at 41, part {43, "k"}
//	batch 2  units l to t         checkpoint at 41, part {43, "t"}
//	batch 3  units u to z         checkpoint at 43
//
// The runner that goes on from a part folds the commits after the checkpoint again, for the units that come after it.
// So each event counts once in each document, and a reader that waits for the position sees all of them. One that does
// not wait may see some. A unit is one document, or those between which the commits move documents.

// part is what the bucket has of a write that takes several batches.
type part struct {
	Position eventstore.Position `json:"position" msgpack:"position"` // of the last commit that the write is about
	Commit   string              `json:"commit" msgpack:"commit"`     // that commit's id
	Through  string              `json:"through" msgpack:"through"`   // the last unit that was written, by bytes
}

// errHeavy says that the documents of a batch are too large together.
var errHeavy = errors.New("the batch is too large")

// makeRoom writes what is folded if the next unit would not fit into the same batch, or if that is large or old.
func (s *session[V]) makeRoom(ctx context.Context, u *unit[V]) error {
	writes := u.keys // of the documents
	if s.spec.cfg.Park {
		writes *= 2 // and of what parks them
	}
	if writes > s.room {
		return s.spec.blame(u.steps[0].recorded, u.name, fmt.Errorf(
			"%w: it moves documents between %d keys, which takes %d writes, and a batch takes %d: raise max_batch_size, or move fewer at a time",
			ErrTooManyDocuments, u.keys, writes, s.room))
	}
	if s.folded == nil && s.half == nil {
		s.begun = time.Now()
		return nil
	}
	if len(s.dirty)+len(s.newly)+writes > s.room || len(s.dirty) >= s.few || time.Since(s.begun) > s.spec.cfg.Heartbeat/2 {
		err := s.flush(ctx)
		s.begun = time.Now()
		s.traced.begin(ctx, s.spec.name, s.at.Position)
		return err
	}
	return nil
}

// passed notes that a unit is folded.
func (s *session[V]) passed(u *unit[V]) {
	if s.half = u; u.whole {
		s.folded, s.half = u.group, nil
		s.traced.events += u.events
	}
}

// next returns the checkpoint for what is folded.
func (s *session[V]) nextCheckpoint() checkpoint {
	next := checkpoint{Store: s.spec.store.Identity(), Position: s.at.Position, Commit: s.at.Commit, Parked: len(s.parked) > 0}
	if s.folded != nil {
		next.Position, next.Commit = s.folded.Position, s.folded.ID.String()
	}
	if s.half != nil {
		next.Part = &part{Position: s.half.group.Position, Commit: s.half.group.ID.String(), Through: s.half.name}
	}
	return next
}

// complete finishes a write of which the bucket has a part.
func (s *session[V]) complete(ctx context.Context) error {
	begun := s.at.Part
	if begun == nil {
		return nil
	}
	s.reached = begun.Position
	of, whole := s.spec, checkpoint{Store: s.at.Store, Position: begun.Position, Commit: begun.Commit}
	if err := verify(ctx, of.store, "view "+of.name, whole); err != nil {
		return err
	}
	for groups, err := range batches(of.store.Log(ctx, eventstore.After(s.at.Position)), begun.Position) { // only one
		if err != nil {
			return err
		}
		units, err := s.plan(groups)
		if err != nil {
			return err
		}
		last := units[len(units)-1].group
		units = slices.DeleteFunc(units, func(u unit[V]) bool { return u.name <= begun.Through })
		if err := s.again(ctx, s.foldUnits(ctx, append(units, unit[V]{group: last, whole: true}))); err != nil {
			return err
		}
	}
	return s.again(ctx, s.flush(ctx))
}
