package eventstore

import (
	"context"
	"fmt"

	"github.com/google/uuid"
)

// Outcome finds out what became of an append that ended in an [UnknownOutcomeError], from the leader. It gives the commit
// when it was stored. It returns an error that matches ErrConflict when another commit took the version, so that this
// one never will be stored, and an error that matches ErrUnknownOutcome while nothing stands there yet: a message
// still under way may yet be stored, or an append with the same head may take its place.
func (s *Store) Outcome(ctx context.Context, stream StreamID, version Version, commit uuid.UUID) (*Commit, error) {
	history, err := s.Load(ctx, stream, From(version), Leader())
	if err != nil {
		return nil, err
	}
	if history.Head.Version < version {
		return nil, &UnknownOutcomeError{
			Stream: stream, Version: version, CommitID: commit,
			Err: fmt.Errorf("the stream is at version %d", history.Head.Version),
		}
	}
	for _, c := range history.Commits {
		if c.ID == commit {
			return c, nil
		}
	}
	return nil, &ConflictError{Stream: stream, Expected: version - 1, Actual: history.Head.Version}
}
