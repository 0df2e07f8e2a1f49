package eventstore

import (
	"context"
	"fmt"

	"github.com/google/uuid"
)

// Outcome finds out what became of an append that ended in an [UnknownOutcomeError], from the leader. It gives the commit
// when it was stored. It returns an error that matches ErrConflict when another commit took the version, so that this
// one never will be stored, and an error that matches ErrUnknownOutcome while no other commit begins there: a message
// still under way may yet be stored, or an append with the same head may take its place.
func (s *Store) Outcome(ctx context.Context, stream StreamID, version Version, commit uuid.UUID) (*Commit, error) {
	history, err := s.Load(ctx, stream, From(version), Leader())
	if err != nil {
		return nil, err
	}
	if c := history.find(commit); c != nil {
		return c, nil
	}
	taken := len(history.Commits) > 0 && history.Commits[0].First == version
	if version > 1 && history.Head.Version > 0 {
		// Who has the version from elsewhere than the error may have the wrong one.
		before, err := s.Load(ctx, stream, Leader())
		if err != nil {
			return nil, err
		}
		if c := before.find(commit); c != nil {
			return c, nil
		}
	}
	if taken {
		return nil, &ConflictError{Stream: stream, Expected: version - 1, Actual: history.Head.Version}
	}
	return nil, &UnknownOutcomeError{
		Stream: stream, Version: version, CommitID: commit,
		Err: fmt.Errorf("the stream is at version %d, and no commit begins at version %d", history.Head.Version, version),
	}
}

// find gives the commit with an id, or nil.
func (h History) find(id uuid.UUID) *Commit {
	for _, c := range h.Commits {
		if c.ID == id {
			return c
		}
	}
	return nil
}
