package saga

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/internal/lru"
	"github.com/runnel-go/runnel/internal/sagaevent"
)

// The reactor of a manager brings awaited events to their sagas. It may not have come to an event yet, the event may
// wait behind another in a parked stream, an older release may have passed over it, or it came before its saga was
// started. So before a saga goes on without an event, the log itself is searched, from what started the saga up to
// where its deadline passed:
//
//	log   what started the saga ---- events ---- DeadlinePassed ---- events
//	      \------------- in time ---------------/               \-- too late
//
// One search at a time reads the log, for all sagas that wait for one.

// question asks which events the log has for one saga.
type question struct {
	saga  string
	after place
	until eventstore.Position
	found []sagaevent.EventReceived // in the log's order, the first for each step
	done  bool
}

// note takes in an event for a step of the saga, if it is the first in time.
func (q *question) note(received sagaevent.EventReceived) {
	if !q.after.before(place{received.Position, received.Index}) || received.Position >= q.until {
		return
	}
	for _, before := range q.found {
		if before.Step == received.Step {
			return
		}
	}
	q.found = append(q.found, received)
}

// search answers questions, those that wait all at once.
type search struct {
	turn chan struct{} // held by the goroutine that reads the log

	mu      sync.Mutex // guards what follows
	waiting []*question
	broken  *lru.Cache[asked, struct{}] // what the definition could not say
}

// asked is what the definition was asked about an event: to decode it, which is call 0, or for whom it is.
type asked struct {
	place
	call int
}

// maxBroken is how many answers are remembered that nobody need ask the definition for again.
const maxBroken = 1000

func newSearch() *search {
	return &search{turn: make(chan struct{}, 1), broken: lru.New[asked, struct{}](maxBroken)}
}

// ask answers a question, on this goroutine or on the goroutine of another question. It returns the error of reading
// the log, or the cause of ctx.
func (m *Manager[S]) ask(ctx context.Context, q *question) error {
	s := m.search
	s.mu.Lock()
	s.waiting = append(s.waiting, q)
	s.mu.Unlock()
	defer s.leave(q)
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-s.turn }()
	questions := s.questions()
	if q.done {
		return nil
	}
	if err := m.answer(ctx, questions); err != nil {
		return err
	}
	for _, one := range questions {
		one.done = true // read by a goroutine that has the turn
	}
	return nil
}

// questions returns those that wait for an answer.
func (s *search) questions() []*question {
	s.mu.Lock()
	defer s.mu.Unlock()
	var open []*question
	for _, q := range s.waiting {
		if !q.done {
			q.found = nil
			open = append(open, q)
		}
	}
	return open
}

func (s *search) leave(q *question) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, one := range s.waiting {
		if one == q {
			s.waiting = append(s.waiting[:i], s.waiting[i+1:]...)
			return
		}
	}
}

// answer reads the log once for all questions.
func (m *Manager[S]) answer(ctx context.Context, questions []*question) error {
	bySaga := make(map[string][]*question)
	first, until := questions[0].after.position, questions[0].until
	for _, q := range questions {
		bySaga[q.saga] = append(bySaga[q.saga], q)
		first, until = min(first, q.after.position), max(until, q.until)
	}
	types := make([]string, 0, len(m.listening))
	for name := range m.listening {
		types = append(types, name)
	}
	for recorded, err := range m.store.All(ctx, eventstore.After(first-1), eventstore.Types(types...)) {
		if err != nil {
			return fmt.Errorf("search the log for awaited events: %w", err)
		}
		if recorded.Position >= until {
			return nil
		}
		m.match(ctx, recorded, func(saga, step string) {
			for _, q := range bySaga[saga] {
				q.note(received(step, recorded))
			}
		})
	}
	return nil
}

func received(step string, recorded eventstore.Recorded) sagaevent.EventReceived {
	return sagaevent.EventReceived{Step: step, Type: recorded.Type(), Position: recorded.Position, Index: recorded.Index}
}

// match says for which sagas and steps an event is. One that does not decode, or whose key function fails, is for
// none: it must not keep the other sagas from their deadlines. The other key functions still count.
func (m *Manager[S]) match(ctx context.Context, recorded eventstore.Recorded, found func(saga, step string)) {
	ask := asked{place: place{recorded.Position, recorded.Index}}
	if m.search.knows(ask) {
		return
	}
	decode := ask
	err := m.each(recorded, func(l listener[S], event eventstore.Event) error {
		if ask.call++; m.search.knows(ask) {
			return nil
		}
		id, err := m.keyOf(l, event, recorded)
		switch {
		case err != nil:
			m.search.leaveOut(ctx, m.logger, recorded, ask, err)
		case id != "":
			found(id, l.step)
		}
		return nil
	})
	if err != nil {
		m.search.leaveOut(ctx, m.logger, recorded, decode, err)
	}
}

// leaveOut leaves out what the definition could not say of an event, and does not ask for it again.
func (s *search) leaveOut(ctx context.Context, logger *slog.Logger, recorded eventstore.Recorded, ask asked, err error) {
	logger.ErrorContext(ctx, "saga: an event is left out of the search for awaited events", "event", recorded.EventID(),
		"stream", recorded.Stream.String(), "position", recorded.Position, "type", recorded.Type(), "error", err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken.Put(ask, struct{}{})
}

func (s *search) knows(broken asked) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.broken.Get(broken)
	return known
}

// each calls a function for each step that awaits events of the type of an event, and for each event that it decodes
// to. It returns the first error.
func (m *Manager[S]) each(recorded eventstore.Recorded, f func(l listener[S], event eventstore.Event) error) error {
	decoded, err := m.decoded(recorded)
	if err != nil {
		return err
	}
	for _, event := range decoded {
		name, err := eventstore.Inside(inside.Pass{}, m.store).TypeOf(event)
		if err != nil {
			return err
		}
		for _, l := range m.listening[name] {
			if l.start != nil {
				continue
			}
			if err := f(l, event); err != nil {
				return err
			}
		}
	}
	return nil
}

// decoded is recorded.Decode under the guard, since types and upcasters of the user decode.
func (m *Manager[S]) decoded(recorded eventstore.Recorded) (decoded []eventstore.Event, err error) {
	var events []eventstore.Event
	err = guarded(m.definition.whereEvent(recorded), "decode it", func() (err error) {
		events, err = recorded.Decode()
		return err
	})
	if err != nil {
		return nil, err
	}
	return events, nil
}

// keyOf returns the id of the saga that an event is for, or "" for none.
func (m *Manager[S]) keyOf(l listener[S], event eventstore.Event, recorded eventstore.Recorded) (string, error) {
	id := ""
	err := guarded(m.definition.whereEvent(recorded), fmt.Sprintf("the function by which step %q knows its saga", l.step), func() error {
		id = l.key(event, recorded)
		return nil
	})
	if err != nil {
		return "", err
	}
	return id, nil
}

// early keeps events that came before the saga was started that they are for. If an event starts the saga, the
// reactor may handle an event after that one first, since it is in another stream. Those used last are kept; a
// search finds the others.
type early struct {
	mu    sync.Mutex // guards sagas
	sagas *lru.Cache[string, []sagaevent.EventReceived]
}

// maxEarly is for how many sagas early events are kept, as many as a reactor has under way.
const maxEarly = 4096

func newEarly() *early { return &early{sagas: lru.New[string, []sagaevent.EventReceived](maxEarly)} }

// keep keeps an event for a saga.
func (e *early) keep(saga string, received sagaevent.EventReceived) {
	e.mu.Lock()
	defer e.mu.Unlock()
	before, _ := e.sagas.Get(saga)
	if len(before) < maxEarlyEach {
		e.sagas.Put(saga, append(before, received))
	}
}

// maxEarlyEach is how many early events are kept for one saga.
const maxEarlyEach = 100

// of returns the events of a saga.
func (e *early) of(saga string) []sagaevent.EventReceived {
	e.mu.Lock()
	defer e.mu.Unlock()
	events, _ := e.sagas.Get(saga)
	return events
}

// forget forgets the events of a saga.
func (e *early) forget(saga string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if events, _ := e.sagas.Get(saga); len(events) > 0 {
		e.sagas.Put(saga, nil)
	}
}
