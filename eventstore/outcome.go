package eventstore

import (
	"context"
	"fmt"

	"github.com/google/uuid"
)

// Outcome finds out, from the leader, what became of an append that ended with ErrUnknownOutcome, from the fields of
// its [AppendError]. It returns the commit if it was stored. It returns an error that matches ErrConflict if another
// commit took the version, so that this one never will be stored. It returns an error that matches ErrUnknownOutcome as
// long as no other commit begins there, because a message that is still under way may yet be stored. An append with the
// same head may take its place.
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
		// A version that does not come from the error may be wrong.
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
	return nil, unknownOutcome(stream, version, commit,
		fmt.Errorf("the stream is at version %d, and no commit begins at version %d", history.Head.Version, version))
}

func unknownOutcome(stream StreamID, version Version, commit uuid.UUID, err error) error {
	return &AppendError{
		Stream: stream, Version: version, CommitID: commit, Reason: ErrUnknownOutcome,
		Advice: "ask Store.Outcome when the server answers", Err: err,
	}
}

// find returns the commit with an id, or nil.
func (h History) find(id uuid.UUID) *Commit {
	for _, c := range h.Commits {
		if c.ID == id {
			return c
		}
	}
	return nil
}
