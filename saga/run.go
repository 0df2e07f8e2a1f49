package saga

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/eventstore"
	runners "github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/projection"
)

// Run works on sagas until ctx ends. Then it releases the sagas under way, so that other runners take them up at once,
// and returns nil when all actions have ended. It does not wait for calls of Start, nor for an action that goes on for
// longer than Config.Claim after its own context has ended. Any number of processes may run the sagas of one
// definition: they share the work.
//
//	the view of all sagas ----- begin ------+
//	the log -- saga events ---------------> agenda -- due --> claim -- Do, Undo, Else --> commit
//	        -- awaited events -> reactor -> commit            (a goroutine for each saga, Config.Workers at most)
//
// It returns an error that matches eventstore.ErrCorrupt or ErrLogRewound if the log is damaged, what the server
// refused, or ErrRunning: a manager runs once at a time. It waits out a broken connection, a lost quorum, and whatever
// else passes.
func (m *Manager[S]) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &runner[S]{
		m: m, id: uuid.NewString(), logger: m.logger, agenda: newAgenda[S](),
		wake: make(chan struct{}, 1), busy: make(map[string]chan struct{}),
	}
	if !m.enter(r) {
		return fmt.Errorf("saga: %s: %w", m.definition.name, ErrRunning)
	}
	members := []func(context.Context) error{m.runView, r.follow, r.schedule}
	if m.events != nil {
		members = append(members, m.events.Run)
	}
	var all sync.WaitGroup
	failed := make([]error, len(members))
	for i, member := range members {
		all.Go(func() {
			if err := member(ctx); err != nil && ctx.Err() == nil {
				failed[i] = err
				cancel(err)
			}
		})
	}
	<-ctx.Done()
	m.leave(r)
	all.Wait()
	r.start(ctx) // what was launched before leave, and is given back now
	r.working.Wait()
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("saga: %s: %w", m.definition.name, err)
	}
	return nil
}

func (m *Manager[S]) enter(r *runner[S]) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.runner != nil {
		return false
	}
	m.runner = r
	return true
}

func (m *Manager[S]) leave(r *runner[S]) {
	m.mu.Lock()
	m.runner = nil
	m.mu.Unlock()
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
}

// admit returns the runner of this manager if it has room to work on a saga. The room is kept until launch or dismiss.
func (m *Manager[S]) admit(id string) *runner[S] {
	m.mu.Lock()
	r := m.runner
	m.mu.Unlock()
	if r == nil || !r.admit(id) {
		return nil
	}
	return r
}

// runner is one call of Run.
type runner[S any] struct {
	m       *Manager[S]
	id      string
	logger  *slog.Logger
	wake    chan struct{}  // tells the schedule that the agenda or the room has changed
	working sync.WaitGroup // goroutines that work on sagas

	mu     sync.Mutex // guards what follows
	agenda *agenda[S]
	busy   map[string]chan struct{} // the sagas that are worked on here; told when another may have them
	ready  []instance[S]            // those among them that are claimed and wait for a goroutine
	closed bool                     // the runner ends, and takes nothing more
}

// admit keeps room for a saga, if there is some and it is not worked on here.
func (r *runner[S]) admit(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.admitLocked(id)
}

func (r *runner[S]) admitLocked(id string) bool {
	if _, busy := r.busy[id]; busy || r.closed || len(r.busy) >= r.m.cfg.Workers {
		return false
	}
	r.busy[id] = make(chan struct{}, 1)
	return true
}

// launch has a saga worked on for which room was kept, and which was claimed after a time. It reports false if the
// runner has ended meanwhile.
func (r *runner[S]) launch(in instance[S], claimed time.Time) bool {
	in.until = claimed.Add(r.m.cfg.Claim)
	r.note(in)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.ready = append(r.ready, in)
	r.nudge()
	return true
}

// start begins to work on the sagas that are launched.
func (r *runner[S]) start(ctx context.Context) {
	r.mu.Lock()
	ready := r.ready
	r.ready = nil
	r.mu.Unlock()
	for _, in := range ready {
		r.working.Go(func() { r.ended(ctx, in.id, r.work(ctx, &in)) })
	}
}

// pick works on a saga for which room was kept, and which is due.
func (r *runner[S]) pick(ctx context.Context, in instance[S]) {
	r.working.Go(func() {
		err := r.claim(ctx, &in)
		if err == nil {
			err = r.work(ctx, &in)
		}
		r.ended(ctx, in.id, err)
	})
}

// ended gives up the room of a saga after the work on it. A saga that failed is left alone for a while, and one that
// cannot be run here until something happens to it.
func (r *runner[S]) ended(ctx context.Context, id string, err error) {
	var unfit *unfitError
	switch {
	case err == nil:
		r.mu.Lock()
		r.agenda.renew(id, time.Now())
		r.mu.Unlock()
	case errors.As(err, &unfit):
		r.leaveAlone(id, unfit.Error())
	case !errors.Is(err, errNotOurs) && ctx.Err() == nil:
		r.logger.Warn("saga: interrupted", "id", id, "error", err)
	}
	r.dismiss(id)
}

// leaveAlone takes a saga from the agenda that cannot be run here, until something happens to it, and says so once.
func (r *runner[S]) leaveAlone(id, reason string) {
	r.mu.Lock()
	told := r.agenda.leave(id, reason, time.Now())
	r.mu.Unlock()
	if !told {
		r.logger.Warn("saga: left alone: this release cannot run it", "id", id, "error", reason)
	}
}

// leftAlone says why a saga is left alone, or returns "".
func (r *runner[S]) leftAlone(id string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.agenda.left(id)
}

// dismiss gives up the room that was kept for a saga.
func (r *runner[S]) dismiss(id string) {
	r.mu.Lock()
	delete(r.busy, id)
	r.agenda.again(id, time.Now())
	r.mu.Unlock()
	r.nudge()
}

func (r *runner[S]) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// follow keeps the agenda up to date: from the view, and then from the log.
func (r *runner[S]) follow(ctx context.Context) error {
	for failures, begins := 1, 1; ; failures++ {
		err := r.followOnce(ctx, func() { failures, begins = 1, 1 })
		switch {
		case ctx.Err() != nil:
			return err
		case runners.Passing(err), errors.Is(err, projection.ErrStale):
		case errors.Is(err, errBegin) && !errors.Is(err, eventstore.ErrLogRewound) && begins < maxBegins:
			begins++ // the view may be replaced while it is read, before we are told
		default:
			return err
		}
		r.logger.Warn("saga: begins to follow the log again", "error", err)
		_ = runners.Restarts.Wait(ctx, failures) // ended by ctx alone, which Log looks at
	}
}

// errBegin marks that the view could not be read. It is tried again, maxBegins times in a row at most.
var errBegin = errors.New("the open sagas cannot be read")

const maxBegins = 10

// followOnce follows the log until it fails, and calls learnt for each commit of a saga.
func (r *runner[S]) followOnce(ctx context.Context, learnt func()) error {
	after, err := r.begin(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", errBegin, err)
	}
	for c, err := range r.m.store.Log(ctx, eventstore.After(after), eventstore.Live()) {
		if err != nil {
			return err
		}
		if c.Stream.Category != r.m.definition.name {
			continue
		}
		r.learn(c)
		learnt()
	}
	return nil
}

// begin takes the open sagas from the view, and returns the position after which the log has to be read. If there is
// no view yet, that is 0.
func (r *runner[S]) begin(ctx context.Context) (eventstore.Position, error) {
	after, err := r.m.view.Position(ctx)
	if errors.Is(err, projection.ErrNotReady) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	for document, err := range r.m.view.List(ctx) {
		if err != nil {
			return 0, err
		}
		r.mu.Lock()
		r.agenda.set(instance[S]{id: document.Value.ID, status: document.Value}, time.Now())
		r.mu.Unlock()
	}
	r.nudge()
	return after, nil
}

// learn takes over what a commit in the log says of a saga. A saga that is not known and does not begin here has ended.
func (r *runner[S]) learn(c *eventstore.Commit) {
	r.mu.Lock()
	in, known := r.agenda.get(c.Stream.ID)
	if known && c.Last() >= in.status.Version && in.status.State.Final() {
		r.agenda.forget(in.id)
	}
	// A commit is taken in on top of the one before it only: what is known may have been loaded before that came.
	gap := known && !in.status.State.Final() && c.First > in.status.Version+1
	look := gap || r.agenda.left(c.Stream.ID) != ""
	if look {
		r.agenda.look(c.Stream.ID, c.Last(), time.Now())
	}
	r.mu.Unlock()
	if look {
		r.nudge()
		return
	}
	if c.Last() <= in.status.Version || !known && c.First > 1 {
		return
	}
	whole := !known || in.head.Version > 0
	in.id = c.Stream.ID
	for recorded := range c.Events() {
		if recorded.Version() <= in.status.Version {
			continue
		}
		decoded, err := recorded.Decode()
		if err != nil {
			r.leaveAlone(in.id, fmt.Sprintf("an event of its history cannot be decoded: %v", err))
			return
		}
		in.apply(decoded[0], recorded)
	}
	if whole {
		in.head = c.Head()
	}
	if known || !in.status.State.Final() {
		r.note(in)
	}
	if in.status.State.Final() {
		r.mu.Lock()
		r.agenda.forget(in.id) // nothing follows
		r.mu.Unlock()
	}
}

// note takes over what a saga is, and tells the goroutine that works on it here if it is another's by now.
func (r *runner[S]) note(in instance[S]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.agenda.set(in, time.Now()) {
		return
	}
	if lost, busy := r.busy[in.id]; busy && in.status.Runner != r.id {
		select {
		case lost <- struct{}{}:
		default:
		}
	}
	if first, _, found := r.agenda.first(); found && first.id == in.id {
		r.nudge() // the schedule waits for what was due first before
	}
}

// schedule takes up sagas when they are due, as far as there is room.
func (r *runner[S]) schedule(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-r.wake:
		case <-ctx.Done():
			return nil
		}
		r.start(ctx)
		if next, waiting := r.takeUp(ctx, time.Now()); waiting {
			timer.Reset(time.Until(next))
		}
	}
}

// takeUp takes up what is due, and returns when the next saga is due. Without room none is: the schedule is woken when
// there is room again.
func (r *runner[S]) takeUp(ctx context.Context, now time.Time) (next time.Time, waiting bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		in, due, found := r.agenda.first()
		if !found || len(r.busy) >= r.m.cfg.Workers || r.closed {
			return time.Time{}, false
		}
		if due.After(now) {
			return due, true
		}
		// Whatever comes of it, it is not due again before something is learnt of it, or a while has passed.
		r.agenda.postpone(in.id, now.Add(r.m.cfg.Claim/2))
		if r.admitLocked(in.id) {
			r.agenda.take(in.id)
			r.pick(ctx, in)
		}
	}
}
