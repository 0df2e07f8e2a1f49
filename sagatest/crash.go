package sagatest

import (
	"context"
	"errors"
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
	// Define returns the definition of one process, on that process's own connection.
	Define func(store *eventstore.Store) (*saga.Definition[S], error)
	// Next returns the definition of a process of the next release. If it is not nil, the struck process and
	// the process that takes over are of two releases. Each point is tried twice, so that each release takes
	// over from the other.
	Next func(store *eventstore.Store) (*saga.Definition[S], error)
	// Stores are further stores that the actions write, on a connection without faults. Define opens them
	// itself, on store.JetStream(). Their names must begin with the name of outside, because runs go on at the
	// same time.
	Stores []*eventstore.Store
	// Awaits returns the step that awaits an event in this saga, or "". With it, Crash finds a lost answer. It
	// may be nil.
	Awaits func(event eventstore.Event) (step string)
	// Interrupt is called while the process is struck, before another goes on, and may change the saga. The
	// saga may not have started yet, or may have ended. It may be nil.
	Interrupt func(ctx context.Context, manager *saga.Manager[S])
	// Check is called at the end, when the struck process is back. It may be nil.
	Check func(t testing.TB, in saga.Instance[S])
}

// Test is a test that can have subtests, such as a *testing.T.
type Test[T any] interface {
	testing.TB
	Run(name string, f func(t T)) bool
}

const (
	claim   = 500 * time.Millisecond // short, so that another takes over soon
	limit   = 2 * time.Minute        // for one run, which takes two seconds
	abreast = 6                      // runs, which mostly wait

	shortStride = 4 // of so many points one is tried in a short test
)

// Crash strikes the process of a saga at every point that it reaches, as the package documentation says. It opens the
// store with the given events and the events of sagas. stage sets up each run. Its argument outside is the store on a
// connection without faults. With go test -short it tries every fourth point.
func Crash[S any, T Test[T]](t T, events []eventstore.Event, stage func(t testing.TB, outside *eventstore.Store) Play[S]) {
	t.Helper()
	c := &crash[S]{srv: eventstoretest.NewServer(t, eventstoretest.Memory()), events: append(saga.Events(), events...), stage: stage}
	var all sync.WaitGroup
	defer all.Wait()
	room := make(chan struct{}, abreast)
	for _, release := range []string{"", nextRelease} {
		var points []string
		if !t.Run(strings.TrimSpace("undisturbed "+release), func(t T) { points = c.run(t, "play"+release, never, dies, release) }) {
			return
		}
		for i, point := range distinct(points) {
			if testing.Short() && i%shortStride != 0 {
				continue
			}
			for _, how := range []string{dies, freezes} {
				room <- struct{}{}
				all.Go(func() {
					defer func() { <-room }()
					t.Run(strings.TrimSpace(release+" "+how+" at "+point), func(t T) {
						c.run(t, fmt.Sprintf("play%s-%d-%s", release, i, how), point, how, release)
					})
				})
			}
		}
		if !c.releases {
			return
		}
	}
}

// nextRelease marks the runs in which the next release is struck.
const nextRelease = "next"

// distinct returns the points that others can distinguish: around an effect in the log, nothing leaves the
// process until the next message.
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
	srv      *eventstoretest.Server
	events   []eventstore.Event
	stage    func(t testing.TB, outside *eventstore.Store) Play[S]
	releases bool // the play has two
}

// run strikes one process of the named release at one point, and returns the points that the process reached.
func (c *crash[S]) run(t testing.TB, name, at, how, release string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	outside := c.open(t, c.srv.JetStream(t), name)
	play := c.stage(t, outside)
	if at == never {
		c.releases = play.Next != nil
	}
	struck, other := play.releases(release)
	v := newVictim(c.srv.Proxy(t), name, at, how)
	failed := &failures{steps: make(map[string]bool)}
	first := c.manager(t, c.open(t, v.proxy.JetStream(t), name), struck, watched(v, failed))
	v.begin()
	stop := running(t, first)
	t.Cleanup(v.revive)
	started := make(chan error, 1)
	go func() { started <- start(ctx, first, play) }()
	second := c.manager(t, outside, other, watched(nil, failed))
	if at == never {
		err := <-started
		started <- err
	} else if v.await(ctx, func() bool { return ended(ctx, second, play.ID) }) {
		if play.Interrupt != nil {
			play.Interrupt(ctx, second)
		}
		// If the first process did not start the saga, its client asks another process.
		if err := start(ctx, second, play); err != nil {
			t.Fatalf("sagatest: start again: %v", err)
		}
		running(t, second)
		if v.await(ctx, func() bool { return ended(ctx, second, play.ID) || leftAlone(ctx, second, play.ID) }) && leftAlone(ctx, second, play.ID) {
			v.revive() // only the struck release can go on
		}
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
	play.check(ctx, t, outside, in, failed)
	return v.came()
}

// start starts the saga as a client does: it tries again if the store did not answer. A struck process, or one on a
// busy machine, may be silent for longer than an append waits.
func start[S any](ctx context.Context, m *saga.Manager[S], play Play[S]) error {
	for {
		_, err := m.Start(ctx, play.ID, play.Data)
		passes := errors.Is(err, eventstore.ErrUnavailable) || errors.Is(err, eventstore.ErrUnknownOutcome)
		if !passes || ctx.Err() != nil {
			return err
		}
	}
}

// releases returns the definitions of the struck process and of the process that takes over.
func (p Play[S]) releases(struck string) (first, second func(store *eventstore.Store) (*saga.Definition[S], error)) {
	switch {
	case p.Next == nil:
		return p.Define, p.Define
	case struck == nextRelease:
		return p.Next, p.Define
	}
	return p.Define, p.Next
}

func ended[S any](ctx context.Context, m *saga.Manager[S], id string) bool {
	in, err := m.Get(ctx, id)
	return err == nil && (in.State.Final() || in.State == saga.StateStuck)
}

// leftAlone reports whether the release of a manager cannot run a saga.
func leftAlone[S any](ctx context.Context, m *saga.Manager[S], id string) bool {
	in, _ := m.Get(ctx, id)
	return in.LeftAlone != ""
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

// failures are the steps with an action that failed.
type failures struct {
	mu    sync.Mutex // guards steps
	steps map[string]bool
}

func (f *failures) note(step string, err error) {
	if err == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.steps[step] = true
}

func (f *failures) of(step string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.steps[step]
}

// around is a hook of sagas.
type around func(ctx context.Context, call saga.Call, do func(ctx context.Context) error) error

// watched returns the hook that notes the failures of actions, and reports their effects to a victim.
func watched(v *victim, failed *failures) around {
	return func(ctx context.Context, call saga.Call, do func(ctx context.Context) error) error {
		v.effect(beforeEffect + call.Key())
		err := do(ctx)
		failed.note(call.Step(), err)
		v.effect(afterEffect + call.Key())
		return err
	}
}

// manager opens a manager with a hook around its actions.
func (c *crash[S]) manager(
	t testing.TB, store *eventstore.Store, define func(*eventstore.Store) (*saga.Definition[S], error), hook around,
) *saga.Manager[S] {
	t.Helper()
	definition, err := define(store)
	if err != nil {
		t.Fatalf("sagatest: define: %v", err)
	}
	m, err := saga.Open(t.Context(), store, definition, &saga.Config{Claim: claim, Around: hook})
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

// Story returns the history of a saga, a line for each event, for messages of tests.
func Story[S any](in saga.Instance[S]) string {
	if len(in.History) == 0 {
		return "a saga without a history\n"
	}
	var text strings.Builder
	fmt.Fprintf(&text, "saga %s is %s:\n", in.ID, in.State)
	for _, entry := range in.History {
		fmt.Fprintf(&text, "%4d  %s", entry.Version, entry.Type)
		if entry.Step != "" {
			text.WriteString(" " + entry.Step)
		}
		if entry.Reason != "" {
			text.WriteString(": " + entry.Reason)
		}
		text.WriteString("\n")
	}
	return text.String()
}
