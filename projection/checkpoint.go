package projection

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/kv"
)

// checkpoint is the document that says up to where the others are complete.
type checkpoint struct {
	Store    string              `json:"store" msgpack:"store"`       // its identity
	Position eventstore.Position `json:"position" msgpack:"position"` // of the last commit folded
	Commit   string              `json:"commit" msgpack:"commit"`     // that commit's id
	Write    string              `json:"write" msgpack:"write"`       // unique, to find out whether a batch was stored
}

// stand is a checkpoint and the revision it has in the bucket; the zero stand is that of a view not begun.
type stand struct {
	checkpoint
	revision uint64
}

// stand reads the checkpoint from the bucket's leader.
func (v *View[V]) stand(ctx context.Context) (stand, error) {
	entry, err := v.checkpoint.GetLeader(ctx)
	if errors.Is(err, kv.ErrNotFound) {
		return stand{}, nil
	}
	return stand{checkpoint: entry.Value, revision: entry.Revision}, err
}

// verify refuses a checkpoint that was not made from this log as it is.
func (v *View[V]) verify(ctx context.Context, at stand) error {
	if at.revision == 0 || at.Position == 0 {
		return nil
	}
	if at.Store != v.store.Identity() {
		return fmt.Errorf("projection: view %s: %w: it is of %s, the store %s is %s: delete the bucket %s, or connect to the other store",
			v.name, ErrOtherStore, at.Store, v.store.Name(), v.store.Identity(), v.Bucket())
	}
	c, err := v.store.At(ctx, at.Position)
	if err != nil {
		return err
	}
	if c == nil || c.ID.String() != at.Commit {
		return fmt.Errorf("projection: view %s: %w: the checkpoint is at position %d, commit %s, which the log lacks: restore the log, or raise the fold version",
			v.name, ErrLogRewound, at.Position, at.Commit)
	}
	return nil
}

// Position gives the view's checkpoint from the bucket's leader: every commit up to there is folded in.
func (v *View[V]) Position(ctx context.Context) (eventstore.Position, error) {
	at, err := v.stand(ctx)
	if err != nil {
		return 0, fmt.Errorf("projection: view %s: checkpoint: %w", v.name, err)
	}
	return at.Position, nil
}

// progress tells the readers of one process how far the runner in the same process is.
type progress struct {
	mu    sync.Mutex // guards state
	state progressState
}

// progressState is one state of the progress. Changed is closed when it is not the present one any more.
type progressState struct {
	position eventstore.Position
	running  bool
	changed  chan struct{}
}

func (p *progress) set(running bool, position eventstore.Position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state.changed != nil {
		close(p.state.changed)
	}
	p.state = progressState{position: position, running: running, changed: make(chan struct{})}
}

func (p *progress) get() progressState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}
