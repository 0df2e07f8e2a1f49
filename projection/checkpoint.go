package projection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/kv"
)

// checkpoint is the document that says up to which position the others are complete, and which instance works on them.
type checkpoint struct {
	Store    string              `json:"store" msgpack:"store"`       // its identity
	Position eventstore.Position `json:"position" msgpack:"position"` // of the last commit folded
	Commit   string              `json:"commit" msgpack:"commit"`     // that commit's id
	Runner   string              `json:"runner" msgpack:"runner"`     // the runner that wrote it, or empty
	Write    string              `json:"write" msgpack:"write"`       // unique, to find out whether a batch was stored
	Term     uint64              `json:"term" msgpack:"term"`         // of the view's record that the runner went by
	// Retired is the bucket of the build that is about to take the place of this one, or empty. Nobody folds meanwhile.
	Retired string `json:"retired,omitempty" msgpack:"retired,omitempty"`
	// Parked says that some key is parked. So a reader that finds none under a key knows whether to ask the leader.
	Parked bool `json:"parked,omitempty" msgpack:"parked,omitempty"`
	// Part says how much of a write is in the bucket that takes several batches, or nil.
	Part *part `json:"part,omitempty" msgpack:"part,omitempty"`
}

// reach is the position of the newest event that a document may show.
func (c checkpoint) reach() eventstore.Position {
	if c.Part != nil {
		return c.Part.Position
	}
	return c.Position
}

// stand is a checkpoint and its revision in the bucket. The zero stand means a bucket without a checkpoint.
type stand struct {
	checkpoint
	revision uint64
	written  time.Time // by the clock of the server
}

// stand reads the checkpoint from the bucket's leader. It returns an error that matches errUnreadable if the checkpoint
// does not decode.
func (g *generation[V]) stand(ctx context.Context) (stand, error) {
	entry, err := g.checkpoint.GetLeader(ctx, checkpointKey)
	if errors.Is(err, kv.ErrNotFound) {
		return stand{}, nil
	}
	return stand{checkpoint: entry.Value, revision: entry.Revision, written: entry.Time}, unreadable(err)
}

// verify refuses a checkpoint that was not made from this log as it is. A bucket without a checkpoint has nothing to
// compare.
func verify(ctx context.Context, store *eventstore.Store, what string, at checkpoint) error {
	if at.Store == "" {
		return nil
	}
	mark := runner.Mark{Store: at.Store, Position: at.Position, Commit: at.Commit}
	if err := runner.Verify(ctx, store, mark, "rebuild the view, or raise its fold version"); err != nil {
		return fmt.Errorf("projection: %s: %w", what, err)
	}
	return nil
}

// progress tells the readers of one process how far the runner in the same process is, and the runner for which
// position they wait.
type progress struct {
	mu     sync.Mutex // guards the fields below
	state  progressState
	wanted eventstore.Position // the highest that a reader waits for, or has waited for
	asked  chan struct{}       // closed when wanted rises
}

// progressState is one state of the progress. Changed is closed when it is not the present one any more.
type progressState struct {
	build   string     // whose documents the runner writes, or "" if none runs
	at      checkpoint // that it has written last
	changed chan struct{}
}

func newProgress() *progress {
	return &progress{state: progressState{changed: make(chan struct{})}, asked: make(chan struct{})}
}

func (p *progress) set(build string, at checkpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.state.changed)
	p.state = progressState{build: build, at: at, changed: make(chan struct{})}
}

func (p *progress) get() progressState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// want asks the runner not to keep a reader waiting that waits for a position.
func (p *progress) want(position eventstore.Position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if position > p.wanted {
		p.wanted = position
		close(p.asked)
		p.asked = make(chan struct{})
	}
}

func (p *progress) wants() (highest eventstore.Position, rises <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wanted, p.asked
}
