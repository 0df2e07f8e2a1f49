package saga

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/defaults"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/internal/sagaevent"
	"github.com/runnel-go/runnel/projection"
	"github.com/runnel-go/runnel/reactor"
)

// Config holds what Open needs beyond its arguments. A nil *Config and the zero Config give the defaults. Open refuses
// impossible values, such as negative ones, with ErrInvalidDefinition.
type Config struct {
	// Workers is how many sagas a runner works on at the same time. Sagas that wait need no worker. Defaults to 64.
	Workers int
	// Claim is how long a runner may show no sign of life before another takes over its sagas, the view or the search
	// for awaited events. A runner renews its claim after a third of that time. It must be the same in all runners, and
	// is 10 milliseconds at least and a day at most. Defaults to 5 seconds.
	Claim time.Duration
	// Replicas is how many servers keep each bucket that is made for the view. Defaults to as many as keep the store.
	Replicas int
	// Around is called for each try of a Do or an Undo in place of the action, and runs it by calling do once with ctx
	// or a context made from it. It returns the error of do, or an error of its own, which counts as the action's. It
	// runs on the goroutine of the action, for many sagas at once. Commands and reactions have a hook of the same
	// shape. Defaults to none, which costs nothing.
	Around func(ctx context.Context, call Call, do func(ctx context.Context) error) error
	// Logger reports failures, sagas that are stuck and claims that were lost. Defaults to the store's logger.
	Logger *slog.Logger
}

// withDefaults returns a copy in which every field is set except Around and Replicas.
func (c *Config) withDefaults(store *eventstore.Store) (Config, error) {
	full := defaults.Of(c)
	if full.Logger == nil {
		full.Logger = eventstore.Inside(inside.Pass{}, store).Logger()
	}
	return full, errors.Join(
		defaults.Set("Workers", &full.Workers, 64),
		defaults.SetWithin("Claim", &full.Claim, 10*time.Millisecond, 5*time.Second, 24*time.Hour),
		defaults.Replicas(full.Replicas),
	)
}

// Manager starts the sagas of one definition over a store, shows them, and runs them. It is safe for concurrent use.
type Manager[S any] struct {
	store      *eventstore.Store
	definition *Definition[S]
	cfg        Config
	logger     *slog.Logger
	view       *projection.View[Status]
	events     *reactor.Reactor         // nil if the definition has no events
	listening  map[string][]listener[S] // by the name of the event
	search     *search
	early      *early

	mu     sync.Mutex // guards runner
	runner *runner[S] // nil while Run does not run
}

// Open opens the manager of a definition's sagas. The store must have been opened with [Events] and those that the
// definition awaits. Names of store and definition have 45 characters together at most. It returns an error that
// matches ErrInvalidDefinition, or the error of opening the view or the reactor of the events. The caller must call
// Close.
//
// Events that are awaited, or start a saga, count from the moment at which Open was called for a definition the first
// time.
func Open[S any](ctx context.Context, store *eventstore.Store, definition *Definition[S], cfg *Config) (*Manager[S], error) {
	full, err := cfg.withDefaults(store)
	if err != nil {
		return nil, fmt.Errorf("saga: %s: %w: %w", definition.name, ErrInvalidDefinition, err)
	}
	m := &Manager[S]{store: store, cfg: full, search: newSearch(), early: newEarly()}
	m.logger = full.Logger.With("saga", definition.name)
	if m.definition, m.listening, err = definition.check(store); err != nil {
		return nil, fmt.Errorf("saga: %s: %w: %w", definition.name, ErrInvalidDefinition, err)
	}
	if m.view, err = openView(ctx, store, definition.name, m.cfg); err != nil {
		return nil, fmt.Errorf("saga: %s: %w", definition.name, err)
	}
	if m.events, err = m.openEvents(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("saga: %s: %w", definition.name, err), m.view.Close())
	}
	return m, nil
}

// check is on for a store that must know the events of sagas.
func (d *Definition[S]) check(store *eventstore.Store) (*Definition[S], map[string][]listener[S], error) {
	for _, event := range Events() {
		if _, err := eventstore.Inside(inside.Pass{}, store).TypeOf(event); err != nil {
			return nil, nil, fmt.Errorf("open the store with saga.Events() among its events: %w", err)
		}
	}
	return d.on(store)
}

// Close ends the subscriptions of the view and of the events. End Run first.
func (m *Manager[S]) Close() error {
	if m.events == nil {
		return m.view.Close()
	}
	return errors.Join(m.events.Close(), m.view.Close())
}

// View is the view of all sagas of the definition, which [Manager.Run] keeps: for its status, and for readers that
// are to follow it.
func (m *Manager[S]) View() *projection.View[Status] { return m.view }

func (m *Manager[S]) stream(id string) eventstore.StreamID {
	return eventstore.StreamID{Category: m.definition.name, ID: id}
}

// Start starts a saga under an id, which names it for ever, and returns the position at which it began. A manager that
// runs works on it at once, if it has room; else a runner anywhere does. A saga that was started under the id before,
// with the same data, is left as it is. So Start may be repeated, also by another release. Fields of the data that one
// of the two releases does not know are not compared, unless this release leaves the field out when it is zero: then it
// must be zero if the first start did not have it.
//
// Ids are UTF-8 of 1 to 128 bytes, and do not begin with U+FFFD. / and % count three times. Start returns an error that
// matches ErrInvalidID, ErrInvalidData or ErrOtherData, or the error of appending: see eventstore.Store.Append. The
// metadata of ctx goes into the saga's first commit, and its correlation, or else the saga's stream, is the correlation
// of all that its steps append.
func (m *Manager[S]) Start(ctx context.Context, id string, data S) (eventstore.Position, error) {
	return m.start(ctx, id, data, place{})
}

// ahead is the time from which a deadline is counted. See passed.
func (m *Manager[S]) ahead() time.Time {
	_, ahead := eventstore.Inside(inside.Pass{}, m.store).Clocks()
	return ahead
}

// passed reports whether a deadline has passed. If the clock of this program is wrong, or the servers' clock is, a saga
// waits too long, and never too short.
func (m *Manager[S]) passed(deadline time.Time) bool {
	behind, _ := eventstore.Inside(inside.Pass{}, m.store).Clocks()
	return !behind.Before(deadline)
}

// unread begins text that cannot be the key of a document. A saga with such an id would not be in the view of all
// sagas, from which runners begin.
const unread = "\uFFFD"

// start starts a saga because of an event at a place, or because of no event.
func (m *Manager[S]) start(ctx context.Context, id string, data S, cause place) (eventstore.Position, error) {
	d := m.definition
	if escaped := escape.Replace(id); id == "" || len(escaped) > maxID {
		return 0, fmt.Errorf("saga: %s/%q: %w: it has %d bytes with / and %% escaped, 1 to %d are allowed", d.name, id, ErrInvalidID, len(escaped), maxID)
	}
	if !utf8.ValidString(id) {
		return 0, fmt.Errorf("saga: %s/%q: %w: it is not valid UTF-8", d.name, id, ErrInvalidID)
	}
	if strings.HasPrefix(id, unread) {
		return 0, fmt.Errorf("saga: %s/%q: %w: it begins with U+FFFD, which stands for text that could not be read", d.name, id, ErrInvalidID)
	}
	encoded, err := d.encode(id, data)
	if err != nil {
		return 0, fmt.Errorf("saga: %s/%s: %w", d.name, id, err)
	}
	started := d.started(encoded, cause)
	in := instance[S]{id: id}
	r, now := m.admit(id), time.Now()
	var first due
	if r != nil {
		s := startedAs(started, m.stream(id))
		first = d.due(&s, 0, data, m.ahead())
	}
	err = m.change(ctx, &in, d.starting(started, m.stream(id), m.claimFor(r), first))
	if r != nil {
		m.launch(ctx, r, in, now, err == nil)
	}
	switch {
	case err != nil:
		return 0, fmt.Errorf("saga: %s/%s: start: %w", d.name, id, err)
	case !d.sameStart(&in, encoded):
		return 0, fmt.Errorf("saga: %s/%s: %w: choose another id, or give the data it was started with", d.name, id, ErrOtherData)
	}
	return in.status.First, nil
}

// claimFor is the claim of a runner that has room for a saga, or nil for no runner.
func (m *Manager[S]) claimFor(r *runner[S]) *sagaevent.Claimed {
	if r == nil {
		return nil
	}
	return &sagaevent.Claimed{Runner: r.id, For: m.cfg.Claim}
}

// launch has a saga worked on by a runner that has kept room for it, if the saga was claimed after a time and has
// something to do. If the runner has ended meanwhile, the saga is given back to others.
func (m *Manager[S]) launch(ctx context.Context, r *runner[S], in instance[S], claimed time.Time, ok bool) {
	ours := ok && in.status.Runner == r.id
	if ours && r.launch(in, claimed) {
		return
	}
	if ours {
		r.giveBack(ctx, &in)
	}
	r.dismiss(in.id)
}
