package projection

import (
	"context"
	"slices"

	"github.com/runnel-go/runnel/eventstore"
)

// A batch takes 1,000 writes, or fewer where the operator of the server says so. A commit, or a transaction, that changes more
// documents is written in several batches, in the order of the documents' keys. The checkpoint stays where it is until the last
// of them, and says what the others have brought:
//
//	batch 1  documents a to k         checkpoint at 41, part {43, "k"}
//	batch 2  documents l to t         checkpoint at 41, part {43, "t"}
//	batch 3  documents u to z         checkpoint at 43
//
// Whoever goes on from a part folds the commits behind the checkpoint again, for the keys that come after it. So each event
// counts once in each document, and a reader that waits for the position sees all of them; one that does not may see some.

// part is what the bucket has of a write that takes several batches.
type part struct {
	Position eventstore.Position `json:"position" msgpack:"position"` // of the last commit that the write is about
	Commit   string              `json:"commit" msgpack:"commit"`     // that commit's id
	Through  string              `json:"through" msgpack:"through"`   // the last key, in the order of their bytes, that was written
}

// changed gives the keys of what is to be written, in the order of their bytes.
func (s *session[V]) changed() []string {
	keys := make([]string, 0, len(s.dirty)+len(s.newly))
	for key := range s.dirty {
		keys = append(keys, key)
	}
	for key := range s.newly {
		if _, both := s.dirty[key]; !both {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// split gives as many of the keys as one batch takes, and the rest.
func (s *session[V]) split(keys []string) (fit, rest []string) {
	writes := 0
	for i, key := range keys {
		if _, ok := s.dirty[key]; ok {
			writes++
		}
		if _, ok := s.newly[key]; ok {
			writes++
		}
		if writes > s.room {
			return keys[:i], keys[i:]
		}
	}
	return keys, nil
}

// partly gives the checkpoint of a batch that does not complete a write.
func (s *session[V]) partly(whole checkpoint, through string) checkpoint {
	at := whole
	at.Position, at.Commit = s.at.Position, s.at.Commit
	at.Part = &part{Position: whole.Position, Commit: whole.Commit, Through: through}
	return at
}

// complete finishes a write of which the bucket has a part.
func (s *session[V]) complete(ctx context.Context) error {
	begun := s.at.Part
	if begun == nil {
		return nil
	}
	v, whole := s.view, checkpoint{Store: s.at.Store, Position: begun.Position, Commit: begun.Commit}
	if err := verify(ctx, v.store, "view "+v.name, whole); err != nil {
		return err
	}
	var group []*eventstore.Commit
	for c, err := range v.store.Log(ctx, eventstore.After(s.at.Position)) {
		if err != nil {
			return err
		}
		if c.Position <= begun.Position {
			group = append(group, c)
		}
		if c.Position >= begun.Position {
			break
		}
	}
	changes, err := s.changes(group)
	if err != nil {
		return err
	}
	changes = slices.DeleteFunc(changes, func(c change[V]) bool { return c.key <= begun.Through })
	if err := s.lookAhead(ctx, [][]change[V]{changes}); err != nil {
		return err
	}
	for _, c := range changes {
		if err := s.apply(ctx, s, c); err != nil {
			return err
		}
	}
	clear(s.ahead)
	return s.flushAs(ctx, whole)
}
