package sagatest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/saga"
)

// Play is one saga and the world around it.
type Play[S any] struct {
	ID   string
	Data S
	// Define gives the definition as one process has it, on that process's own connection.
	Define func(store *eventstore.Store) (*saga.Definition[S], error)
	// Interrupt is called while the process is struck, before another goes on, and may do something to the saga: which may not
	// have been started yet, or have ended. It may be nil.
	Interrupt func(ctx context.Context, manager *saga.Manager[S])
	// Check is called at the end, when the process that was struck is back. It may be nil.
	Check func(t testing.TB, in saga.Instance[S])
}

// Test is a test that can have others in it: a *testing.T.
type Test[T any] interface {
	testing.TB
	Run(name string, f func(t T)) bool
}

const (
	claim   = 150 * time.Millisecond // short, so that another takes over soon
	limit   = time.Minute            // for one run, which takes half a second
	abreast = 8                      // runs, which mostly wait
)

// Crash strikes the process of a saga at every point it comes to, as the package documentation says. The events are those that the
// store is opened with, beside those of sagas. stage sets up each run: outside is the store on a connection that nothing
// happens to.
func Crash[S any, T Test[T]](t T, events []eventstore.Event, stage func(t testing.TB, outside *eventstore.Store) Play[S]) {
	t.Helper()
	srv := eventstoretest.NewServer(t, eventstoretest.Memory())
	c := &crash[S]{srv: srv, events: append(saga.Events(), events...), stage: stage}
	var points []string
	if !t.Run("undisturbed", func(t T) { points = c.run(t, "play", never, dies) }) {
		return
	}
	var all sync.WaitGroup
	defer all.Wait()
	room := make(chan struct{}, abreast)
	for i, point := range distinct(points) {
		for _, how := range []string{dies, freezes} {
			room <- struct{}{}
			all.Go(func() {
				defer func() { <-room }()
				t.Run(how+" at "+point, func(t T) {
					c.run(t, fmt.Sprintf("play-%d-%s", i, how), point, how)
				})
			})
		}
	}
}

// distinct gives the points that differ for others: before and after an effect in the log nothing leaves the process until the next
// message does.
func distinct(points []string) (some []string) {
	for i, point := range points {
		before := strings.HasPrefix(point, beforeEffect) && i+1 < len(points) && strings.HasPrefix(points[i+1], message)
		after := strings.HasPrefix(point, afterEffect) && i > 0 && strings.HasPrefix(points[i-1], message)
		if !before && !after {
			some = append(some, point)
		}
	}
	return some
}

// crash is one call of Crash.
type crash[S any] struct {
	srv    *eventstoretest.Server
	events []eventstore.Event
	stage  func(t testing.TB, outside *eventstore.Store) Play[S]
}

// run strikes one process at one point, and gives the points that it came to.
func (c *crash[S]) run(t testing.TB, name, at, how string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	outside := c.open(t, c.srv.JetStream(t), name)
	play := c.stage(t, outside)
	v := newVictim(c.srv.Proxy(t), name, at, how)
	first := c.manager(t, c.open(t, v.proxy.JetStream(t), name), play, v)
	stop := running(t, first)
	t.Cleanup(v.revive)
	started := make(chan error, 1)
	go func() {
		_, err := first.Start(ctx, play.ID, play.Data)
		started <- err
	}()
	second := c.manager(t, outside, play, nil)
	if at == never {
		err := <-started
		started <- err
	} else if v.await(ctx, func() bool { return ended(ctx, second, play.ID) }) {
		if play.Interrupt != nil {
			play.Interrupt(ctx, second)
		}
		// Where the first did not come to start the saga, its client asks another process.
		if _, err := second.Start(ctx, play.ID, play.Data); err != nil {
			t.Fatalf("sagatest: start again: %v", err)
		}
		running(t, second)
	}
	if in, err := second.Wait(ctx, play.ID); err != nil {
		t.Fatalf("sagatest: the saga does not end: %v\n%s", err, Story(in))
	}
	v.revive()
	if err := <-started; err != nil {
		t.Fatalf("sagatest: start: %v", err)
	}
	stop()
	in, err := second.Get(ctx, play.ID)
	if err != nil {
		t.Fatalf("sagatest: %v", err)
	}
	checkEnd(t, in)
	checkKeys(ctx, t, outside)
	if play.Check != nil {
		play.Check(t, in)
	}
	return v.came()
}

func ended[S any](ctx context.Context, m *saga.Manager[S], id string) bool {
	in, err := m.Get(ctx, id)
	return err == nil && (in.State.Final() || in.State == saga.StateStuck)
}

func (c *crash[S]) open(t testing.TB, js jetstream.JetStream, name string) *eventstore.Store {
	t.Helper()
	store, err := eventstore.Open(t.Context(), js, name, c.events, &eventstore.Config{AckTimeout: claim})
	if err != nil {
		t.Fatalf("sagatest: %v", err)
	}
	t.Cleanup(func() { report(t, store.Close()) })
	return store
}

// manager gives a manager whose actions tell the victim of what they do.
func (c *crash[S]) manager(t testing.TB, store *eventstore.Store, play Play[S], v *victim) *saga.Manager[S] {
	t.Helper()
	definition, err := play.Define(store)
	if err != nil {
		t.Fatalf("sagatest: define: %v", err)
	}
	if v != nil {
		definition = definition.Around(func(action saga.Action[S]) saga.Action[S] {
			return func(ctx context.Context, call saga.Call, data S) (S, error) {
				v.effect(beforeEffect + call.Key())
				data, err := action(ctx, call, data)
				v.effect(afterEffect + call.Key())
				return data, err
			}
		})
	}
	m, err := saga.New(t.Context(), store, definition, &saga.Config{Claim: claim})
	if err != nil {
		t.Fatalf("sagatest: %v", err)
	}
	t.Cleanup(func() { report(t, m.Close()) })
	return m
}

// running runs a manager until stop, or until the test ends.
func running[S any](t testing.TB, m *saga.Manager[S]) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		report(t, <-done)
	})
	t.Cleanup(stop)
	return stop
}

func report(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("sagatest: %v", err)
	}
}

// checkEnd holds the history of a saga that has ended against what holds for all.
func checkEnd[S any](t testing.TB, in saga.Instance[S]) {
	t.Helper()
	seen := make(map[string]int)
	for _, entry := range in.History {
		switch e := entry.Event.(type) {
		case saga.StepDone:
			seen["step "+e.Step+" is done"]++
		case saga.Undone:
			seen["step "+e.Step+" is undone"]++
		case saga.Completed, saga.Compensated, saga.Resolved:
			seen["the saga ends"]++
		}
	}
	if seen["the saga ends"] == 0 && in.State != saga.StateStuck {
		t.Errorf("sagatest: the saga does not end:\n%s", Story(in))
	}
	for what, times := range seen {
		if times > 1 {
			t.Errorf("sagatest: %s %d times:\n%s", what, times, Story(in))
		}
	}
}

// checkKeys reports keys that count twice in one stream.
func checkKeys(ctx context.Context, t testing.TB, store *eventstore.Store) {
	t.Helper()
	seen := make(map[string]eventstore.Position)
	for c, err := range store.Log(ctx) {
		if err != nil {
			t.Fatalf("sagatest: %v", err)
		}
		if c.Key == "" {
			continue
		}
		one := fmt.Sprintf("%s under the key %q", c.Stream, c.Key)
		if before, twice := seen[one]; twice {
			t.Errorf("sagatest: %s is written twice, at positions %d and %d", one, before, c.Position)
		}
		seen[one] = c.Position
	}
}

// Story gives the history of a saga, a line for each event, for messages of tests.
func Story[S any](in saga.Instance[S]) string {
	if len(in.History) == 0 {
		return "a saga without a history\n"
	}
	var text strings.Builder
	fmt.Fprintf(&text, "saga %s is %s:\n", in.ID, in.State)
	for _, entry := range in.History {
		fmt.Fprintf(&text, "%4d  %s\n", entry.Version, line(entry.Event))
	}
	return text.String()
}

// line tells of one event what a reader of a failure wants to know.
func line(event eventstore.Event) string {
	text := event.EventType()
	switch e := event.(type) {
	case saga.StepBegun:
		text += " " + e.Step
	case saga.StepFailed:
		text += " " + e.Step + ": " + e.Error
	case saga.StepDone:
		text += " " + e.Step
	case saga.EventReceived:
		text += " " + e.Step
	case saga.DeadlinePassed:
		text += " " + e.Step
	case saga.Compensating:
		text += ": " + e.Error
	case saga.UndoBegun:
		text += " " + e.Step
	case saga.UndoFailed:
		text += " " + e.Step + ": " + e.Error
	case saga.Undone:
		text += " " + e.Step
	case saga.Stuck:
		text += " " + e.Step + ": " + e.Error
	}
	return text
}
