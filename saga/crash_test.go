package saga_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/saga"
)

// otherBank is the world outside: it does each key once, and refuses a payment that was recalled.
type otherBank struct {
	mu       sync.Mutex
	paid     map[string]int // by the key of Do
	recalled map[string]bool
}

var errRecalled = errors.New("recalled before")

// pay pays under a key, and reports whether it has not done so before.
func (o *otherBank) pay(key string) (first bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.recalled[key] {
		return false, saga.Permanent(errRecalled)
	}
	o.paid[key]++
	return o.paid[key] == 1, nil
}

func (o *otherBank) recall(key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.recalled[key] = true
}

// holds is how many payments it has.
func (o *otherBank) holds() (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key := range o.paid {
		if !o.recalled[key] {
			n++
		}
	}
	return n
}

// What becomes of the sagas of the crash tests.
const (
	accepted = "accepted" // the other bank says yes
	refused  = "refused"  // it says no, which sends the saga back
	silent   = "silent"   // it says nothing until the deadline, which does so too
	failing  = "failing"  // it cannot be reached, ever

	cancelled = "cancelled" // it says yes, and somebody cancels the saga while its process is struck
)

// claimTime is short, so that another takes over soon.
const claimTime = 150 * time.Millisecond

// crashSteps is the definition of these sagas, as one process has it: with a step of each kind. The process tells of each
// effect, before and after it. Answers of the other bank come to the log without that process.
func crashSteps(t testing.TB, b, outside *bank, other *otherBank, end string, effect func(point string)) *saga.Definition[payment] {
	wrapped := func(action saga.Action[payment]) saga.Action[payment] {
		return func(ctx context.Context, call saga.Call, p payment) (payment, error) {
			effect("before " + call.Key())
			p, err := action(ctx, call, p)
			effect("after " + call.Key())
			return p, err
		}
	}
	send := func(ctx context.Context, call saga.Call, p payment) (payment, error) {
		if end == failing {
			return p, errors.New("nobody is there")
		}
		first, err := other.pay(call.Key())
		if err == nil && first && end != silent {
			answer := eventstore.StreamID{Category: "answer", ID: call.Saga()}
			_, err = outside.store.Append(context.WithoutCancel(ctx), answer, eventstore.Head{}, answered{call.Saga(), end != refused})
		}
		return p, err
	}
	recall := func(_ context.Context, call saga.Call, p payment) (payment, error) {
		other.recall(call.DoKey())
		return p, nil
	}
	within := 20 * time.Second
	if end == silent {
		within = 30 * time.Millisecond
	}
	return define(t, "payment",
		saga.Step("hold", wrapped(b.hold)).Undo(wrapped(b.giveBack)),
		saga.Step("send", wrapped(send)).Undo(wrapped(recall)).Retry(saga.Retry{Tries: 2, Backoff: time.Millisecond}),
		saga.Await("answer", saga.On(func(p payment, e answered) (payment, error) {
			if !e.Yes {
				return p, errors.New("refused")
			}
			p.Notes = append(p.Notes, "accepted")
			return p, nil
		}).By(func(e answered) string { return e.Saga })).Within(within),
		saga.Step("pay", wrapped(b.payOut)).Retriable(),
	)
}

// victim is a process that something happens to when it comes to a point. It is behind a proxy of its own.
type victim struct {
	proxy *eventstoretest.Proxy
	thaw  chan struct{} // lets a frozen one go on

	mu     sync.Mutex
	points []string // that it came to
	at     int      // the point at which it happens, or -1
	how    string
	struck chan struct{} // closed when it has happened
}

// The ways in which a process is struck. One that dies sends nothing any more; one that is frozen sends later what it was about
// to send.
const (
	dies    = "dies"
	freezes = "freezes"
)

func newVictim(t testing.TB, srv *eventstoretest.Server, store string, at int, how string) *victim {
	v := &victim{proxy: srv.Proxy(t), thaw: make(chan struct{}), at: at, how: how, struck: make(chan struct{})}
	v.proxy.DropRequests(func(subject string, _ []byte) bool {
		if strings.HasPrefix(subject, store+".payment.") || strings.HasPrefix(subject, store+".account.") {
			v.pass("publish to " + strings.TrimPrefix(subject, store+"."))
		}
		return v.dead()
	})
	return v
}

// pass notes a point, and what has to happen there happens. A process that is frozen stays in it.
func (v *victim) pass(point string) {
	v.mu.Lock()
	v.points = append(v.points, point)
	if len(v.points)-1 == v.at {
		close(v.struck)
	}
	v.mu.Unlock()
	if v.how == freezes && v.hit() {
		<-v.thaw
	}
}

// effect notes a point outside the log. A dead process does nothing there.
func (v *victim) effect(point string) {
	v.pass(point)
	if v.dead() {
		<-v.thaw
	}
}

// awaitStrike waits until the process is struck, or until its saga has ended without coming to the point: on a slow machine,
// a claim is renewed here and there, and then there are more points one time than another.
func (v *victim) awaitStrike(t *testing.T, m *saga.Manager[payment]) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		select {
		case <-v.struck:
			return
		case <-again.C:
		}
		in, err := m.Get(t.Context(), "1")
		if !errors.Is(err, saga.ErrNotFound) {
			require.NoError(t, err)
		}
		if in.State.Final() {
			return
		}
	}
}

func (v *victim) hit() bool {
	select {
	case <-v.struck:
		return true
	default:
		return false
	}
}

// dead reports whether the process sends nothing.
func (v *victim) dead() bool {
	select {
	case <-v.thaw:
		return false
	default:
		return v.how == dies && v.hit()
	}
}

// strike runs a saga in a process that is struck at a point, lets another one go on, brings the first back, and gives the points
// that the first came to, and what became of the saga. Where it is to be cancelled, that is tried before the second goes on.
func strike(t *testing.T, srv *eventstoretest.Server, end string, at int, how string) (points []string, in saga.Instance[payment]) {
	name := strings.NewReplacer("/", "-", "_", "-", " ", "-").Replace(t.Name())
	name = fmt.Sprintf("s%x", hash(name))
	other := &otherBank{paid: make(map[string]int), recalled: make(map[string]bool)}
	healthy := openNamed(t, srv.JetStream(t), name)
	healthy.payIn(t, "anna", 100)
	v := newVictim(t, srv, name, at, how)
	first := openNamed(t, v.proxy.JetStream(t), name)
	cfg := &saga.Config{Claim: claimTime}
	m := open(t, first, crashSteps(t, first, healthy, other, end, v.effect), cfg)
	stop := run(t, m)
	t.Cleanup(v.revive)
	began := make(chan error, 1)
	go func() {
		_, err := m.Start(t.Context(), "1", payment{From: "anna", Amount: 30})
		began <- err
	}()
	second := open(t, healthy, crashSteps(t, healthy, healthy, other, end, func(string) {}), cfg)
	if at >= 0 {
		v.awaitStrike(t, second)
		if end == cancelled {
			_ = second.Cancel(t.Context(), "1", "changed my mind") // which comes too early at times, and too late at others
		}
		// Where the first did not come to start the saga, its client asks another process.
		_, err := second.Start(t.Context(), "1", payment{From: "anna", Amount: 30})
		require.NoError(t, err)
		run(t, second)
	} else {
		require.NoError(t, <-began)
		began <- nil
	}
	_, err := second.Wait(soon(t), "1")
	require.NoError(t, err)
	v.revive()
	require.NoError(t, <-began, "starting it again is no error")
	stop()
	in, err = second.Get(t.Context(), "1")
	require.NoError(t, err)
	requireConsistent(t, healthy, other, in)
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.points, in
}

// revive brings the process back to life: what it held back is sent.
func (v *victim) revive() {
	v.mu.Lock()
	defer v.mu.Unlock()
	select {
	case <-v.thaw:
	default:
		close(v.thaw)
	}
}

// requireConsistent holds the end of a saga against the books of both banks.
func requireConsistent(t *testing.T, b *bank, other *otherBank, in saga.Instance[payment]) {
	t.Helper()
	require.True(t, in.State.Final(), "%s: %v", in.State, types(in))
	ends := 0
	for _, name := range types(in) {
		if name == "saga.completed" || name == "saga.compensated" {
			ends++
		}
	}
	require.Equal(t, 1, ends, "it ends once: %v", types(in))
	anna, err := b.accounts.Load(t.Context(), "anna")
	require.NoError(t, err)
	want, payments := account{Free: 100, Held: []held{}}, 0
	if in.State == saga.StateCompleted {
		want, payments = account{Free: 70, Held: []held{}, Paid: 30}, 1
	}
	require.Equal(t, want, account{anna.State.Free, append([]held{}, anna.State.Held...), anna.State.Paid}, "%v", types(in))
	require.Equal(t, payments, other.holds(), "%v", types(in))
	keys := make(map[string]bool)
	for recorded, err := range b.store.Stream(t.Context(), eventstore.StreamID{Category: "account", ID: "anna"}) {
		require.NoError(t, err)
		if recorded.Index == 0 && recorded.Key != "" {
			require.False(t, keys[recorded.Key], "%s counts once", recorded.Key)
			keys[recorded.Key] = true
		}
	}
}

// TestASagaEndsWhereverItsProcessDies strikes the process of a saga at every point there is: at each message it writes to the
// log, before and after each effect of each step, forwards and back. Among them are those at which a process is frozen between
// loading and appending while another undoes what it is about to do.
func TestASagaEndsWhereverItsProcessDies(t *testing.T) {
	srv := eventstoretest.NewServer(t, eventstoretest.Memory())
	wanted := map[string]saga.State{
		accepted: saga.StateCompleted, refused: saga.StateCompensated, silent: saga.StateCompensated, failing: saga.StateCompensated,
	}
	seen := make(map[string]bool)
	var all sync.WaitGroup
	room := make(chan struct{}, 8) // they mostly wait, so more than there are processors
	for _, end := range []string{accepted, refused, silent, failing, cancelled} {
		var points []string
		t.Run(end, func(t *testing.T) { points, _ = strike(t, srv, end, -1, dies) })
		for at, point := range points {
			seen[point] = true
			if !distinct(point) && os.Getenv("RUNNEL_TEST_LONG") == "" {
				continue
			}
			for _, how := range []string{dies, freezes} {
				room <- struct{}{}
				all.Go(func() {
					defer func() { <-room }()
					t.Run(fmt.Sprintf("%s/%d/%s", end, at, how), func(t *testing.T) {
						_, in := strike(t, srv, end, at, how)
						if state, known := wanted[end]; known {
							require.Equal(t, state, in.State, "%s: %v", point, types(in))
						}
					})
				})
			}
		}
	}
	all.Wait()
	for _, step := range []string{"hold/do", "send/do", "pay/do", "hold/undo", "send/undo"} {
		require.True(t, seen["before payment/1/"+step] && seen["after payment/1/"+step], step)
	}
}

// distinct reports whether a point differs for others from the one that comes next: before and after the effect of a command
// nothing leaves the process until the next message does.
func distinct(point string) bool {
	return strings.HasPrefix(point, "publish") || strings.Contains(point, "/send/")
}

func hash(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s))
	return h.Sum64()
}
