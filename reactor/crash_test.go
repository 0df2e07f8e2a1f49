package reactor_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/reactor"
)

// checks sets how many random cases the test tries: one of them takes a tenth of a second.
func checks(t *testing.T, n int) {
	t.Helper()
	before := flag.Lookup("rapid.checks").Value.String()
	if before != "100" {
		return // asked for on the command line
	}
	require.NoError(t, flag.Set("rapid.checks", strconv.Itoa(n)))
	t.Cleanup(func() { require.NoError(t, flag.Set("rapid.checks", before)) })
}

// Whatever fails, and whenever instances die, every event is handled or discarded, and none before the earlier events
// of its stream.
func TestNoEventIsLostOrOvertaken(t *testing.T) {
	checks(t, 12)
	server := eventstoretest.NewServer(t)
	names := 0
	rapid.Check(t, func(rt *rapid.T) {
		names++
		w := newReactorWorld(t, rt, server, fmt.Sprint("bank", names))
		rt.Repeat(map[string]func(*rapid.T){
			"append": w.append, "append more": w.append, "append most": w.append, "start": w.start, "stop": w.stop, "crash": w.crash,
			"replay": w.replayAll, "discard": w.discardOne, "wait": w.waitABit,
		})
		w.finish(rt)
	})
}

// reactorWorld is a store, a reactor with any number of instances, and what is known of both.
type reactorWorld struct {
	t        *testing.T
	server   *eventstoretest.Server
	name     string
	store    *eventstore.Store
	admin    *reactor.Reactor
	appended map[string]int
	running  []*instance

	mu      sync.Mutex // guards the fields below
	handled map[string][]eventstore.Version
	tries   map[string]int
	healed  bool
}

// instance is a reactor on a connection of its own.
type instance struct {
	nc     *nats.Conn
	store  *eventstore.Store
	mails  *reactor.Reactor
	cancel context.CancelFunc
	ended  chan error
}

func newReactorWorld(t *testing.T, rt *rapid.T, server *eventstoretest.Server, name string) *reactorWorld {
	t.Helper()
	w := &reactorWorld{
		t: t, server: server, name: name,
		appended: map[string]int{}, handled: map[string][]eventstore.Version{}, tries: map[string]int{},
	}
	var err error
	w.store, w.admin, err = w.open(server.JetStream(t))
	require.NoError(rt, err)
	return w
}

func (w *reactorWorld) open(js jetstream.JetStream) (*eventstore.Store, *reactor.Reactor, error) {
	store, err := eventstore.Open(w.t.Context(), js, w.name, events, nil)
	if err != nil {
		return nil, nil, err
	}
	mails, err := reactor.Open(w.t.Context(), store, "r", &reactor.Config{
		Workers: 2, Window: 8, Retries: 2, Backoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond,
		Interval: 3 * time.Millisecond, Heartbeat: 30 * time.Millisecond,
	}, reactor.On(w.react))
	return store, mails, err
}

// react fails for ever, or until the world is healed, or once, or not at all, as the event says.
func (w *reactorWorld) react(ctx context.Context, e deposited, r eventstore.Recorded) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tries[r.EventID()]++
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case e.Text == "once" && w.tries[r.EventID()] == 1:
		return errors.New("the first try fails")
	case e.Text == "bad" && !w.healed:
		return errors.New("it fails until it is mended")
	}
	w.handled[r.Stream.ID] = append(w.handled[r.Stream.ID], r.Version())
	return nil
}

func (w *reactorWorld) append(rt *rapid.T) {
	id := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "stream")
	texts := rapid.SliceOfN(rapid.SampledFrom([]string{"", "", "", "once", "bad"}), 1, 3).Draw(rt, "events")
	batch := make([]eventstore.Event, len(texts))
	for i, text := range texts {
		batch[i] = deposited{Text: text}
	}
	head, err := w.store.Head(w.t.Context(), account(id))
	require.NoError(rt, err)
	_, err = w.store.Append(w.t.Context(), account(id), head, batch...)
	require.NoError(rt, err)
	w.appended[id] += len(batch)
}

func (w *reactorWorld) start(rt *rapid.T) {
	if len(w.running) == 2 {
		return
	}
	i := &instance{nc: w.server.ConnectInProcess(w.t), ended: make(chan error, 1)}
	js, err := jetstream.New(i.nc)
	require.NoError(rt, err)
	i.store, i.mails, err = w.open(js)
	require.NoError(rt, err)
	ctx, cancel := context.WithCancel(w.t.Context())
	i.cancel = cancel
	go func() { i.ended <- i.mails.Run(ctx) }()
	w.running = append(w.running, i)
}

// stop lets an instance go in good order.
func (w *reactorWorld) stop(rt *rapid.T) {
	if len(w.running) == 0 {
		return
	}
	i := w.running[0]
	w.running = w.running[1:]
	i.cancel()
	require.NoError(rt, <-i.ended)
	require.NoError(rt, errors.Join(i.mails.Close(), i.store.Close()))
	i.nc.Close()
}

// crash takes an instance's connection first, so that it can write nothing more.
func (w *reactorWorld) crash(rt *rapid.T) {
	if len(w.running) == 0 {
		return
	}
	i := w.running[0]
	w.running = w.running[1:]
	i.nc.Close()
	i.cancel()
	if err := errors.Join(<-i.ended, i.mails.Close(), i.store.Close()); err != nil {
		rt.Log("what it says about its connection: ", err)
	}
}

func (w *reactorWorld) replayAll(rt *rapid.T) {
	_, err := w.admin.ReplayAllParked(w.t.Context())
	require.NoError(rt, err)
}

func (w *reactorWorld) discardOne(rt *rapid.T) {
	for parked, err := range w.admin.Parked(w.t.Context()) {
		require.NoError(rt, err)
		if err := w.admin.Discard(w.t.Context(), parked.Stream, parked.Version); !errors.Is(err, reactor.ErrNotParked) {
			require.NoError(rt, err)
		}
		return
	}
}

func (w *reactorWorld) waitABit(rt *rapid.T) {
	<-time.After(time.Duration(rapid.IntRange(0, 20).Draw(rt, "milliseconds")) * time.Millisecond)
}

// finish mends what fails and checks that all that was appended was handled, in order, or discarded.
func (w *reactorWorld) finish(rt *rapid.T) {
	w.mu.Lock()
	w.healed = true
	w.mu.Unlock()
	w.start(rt)
	end, err := w.store.End(w.t.Context())
	require.NoError(rt, err)
	require.Eventually(rt, func() bool {
		w.replayAll(rt)
		status, err := w.admin.Status(w.t.Context())
		require.NoError(rt, err)
		return status.Position == end && status.Parked == 0
	}, 20*time.Second, 5*time.Millisecond, "everything is handled in the end")
	for len(w.running) > 0 {
		w.stop(rt)
	}
	for parked, err := range w.admin.Parked(w.t.Context()) {
		require.NoError(rt, err)
		require.Failf(rt, "a stream is left parked", "%+v", parked)
	}
	left := map[string]map[eventstore.Version]bool{"a": {}, "b": {}, "c": {}}
	for event, err := range w.admin.Discarded(w.t.Context()) {
		require.NoError(rt, err)
		left[event.Stream.ID][event.Version] = true
	}
	for id, n := range w.appended {
		w.checkOrder(rt, id, n, left[id])
	}
	require.NoError(rt, errors.Join(w.admin.Close(), w.store.Close()))
}

func (w *reactorWorld) checkOrder(rt *rapid.T, id string, n int, left map[eventstore.Version]bool) {
	next := eventstore.Version(1)
	skip := func() {
		for left[next] {
			next++
		}
	}
	skip()
	for _, version := range w.handled[id] {
		require.LessOrEqualf(rt, version, next, "of %s, handled were %v, discarded %v", id, w.handled[id], left)
		if version == next {
			next++
			skip()
		}
	}
	require.Equalf(rt, eventstore.Version(n+1), next, "of %s, handled were %v, discarded %v", id, w.handled[id], left)
}
