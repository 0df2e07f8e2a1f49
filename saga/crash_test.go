package saga_test

import (
	"context"
	"errors"
	"hash/fnv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/proptest"
	"github.com/runnel-go/runnel/saga"
	"github.com/runnel-go/runnel/sagatest"
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

// The plays of the crash tests.
const (
	accepted = "accepted" // the other bank says yes
	refused  = "refused"  // it says no, which sends the saga back
	silent   = "silent"   // it says nothing until the deadline, which does so too
	failing  = "failing"  // it cannot be reached, ever

	cancelled = "cancelled" // it says yes, and somebody cancels the saga while its process is struck
)

// crashSteps is the definition of these sagas, as one process has it: with a step of each kind. Answers of the other
// bank come to the log without that process.
func crashSteps(b, outside *bank, other *otherBank, end string, more ...saga.Part[payment]) (*saga.Definition[payment], error) {
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
	return saga.Define("payment", append([]saga.Part[payment]{
		saga.Step("hold", b.hold).Undo(b.giveBack),
		saga.Step("send", send).Undo(recall).Retry(saga.Retry{Tries: 2, Backoff: time.Millisecond}),
		saga.Await("answer", onAnswer().By(func(e answered) string { return e.Saga })).Within(within),
		saga.Step("pay", b.payOut).Retriable(),
	}, more...)...)
}

// theAnswer names the step that awaits an event, in the saga of the crash tests.
func theAnswer(e eventstore.Event) string {
	if a, is := e.(answered); is && a.Saga == "1" {
		return "answer"
	}
	return ""
}

// spread is a test in which a process either dies or freezes at a message of a saga, unless there is time for both. The
// message decides which, and the next release does the opposite. Both are tried at each message to an account, and
// before and after each effect outside.
type spread struct{ *testing.T }

func (s spread) Run(name string, f func(spread)) bool {
	release, how, point := parseRun(name)
	ofSaga := strings.HasPrefix(point, "message ") && !strings.HasPrefix(point, "message to account.")
	if !proptest.Long() && how != "" && ofSaga {
		hash := fnv.New32a()
		_, _ = hash.Write([]byte(point)) // never fails
		if (hash.Sum32()%2 == 0) == (how == "dies") == (release == "") {
			return true
		}
	}
	return s.T.Run(name, func(t *testing.T) { f(spread{t}) })
}

// parseRun takes apart the name of a run at a point, such as "next dies at message to payment.1, 2".
func parseRun(name string) (release, how, point string) {
	before, point, found := strings.Cut(name, " at ")
	if !found {
		return "", "", ""
	}
	if release, how, found = strings.Cut(before, " "); !found {
		release, how = "", before
	}
	return release, how, point
}

// TestASagaEndsWhereverItsProcessDies strikes the process of sagas that end in each way, at every point there is: at
// each message it writes to the log, before and after each effect outside, forwards and back. Among them are those at
// which it is frozen between loading and appending while another undoes what it is about to do. Each end has the way
// forwards in it, and most the way back.
func TestASagaEndsWhereverItsProcessDies(t *testing.T) {
	ends := []string{refused, cancelled}
	if proptest.Long() {
		ends = append(ends, accepted, silent, failing)
	}
	for _, end := range ends {
		t.Run(end, func(test *testing.T) {
			t := spread{test}
			sagatest.Crash(t, storeEvents()[len(saga.Events()):], func(t testing.TB, store *eventstore.Store) sagatest.Play[payment] {
				outside := bankOf(t, store)
				outside.payIn(t, "anna", 100)
				other := &otherBank{paid: make(map[string]int), recalled: make(map[string]bool)}
				play := sagatest.Play[payment]{
					ID: "1", Data: payment{From: "anna", Amount: 30},
					Define: func(store *eventstore.Store) (*saga.Definition[payment], error) {
						return crashSteps(bankOf(t, store), outside, other, end)
					},
					Awaits: theAnswer,
					Check:  func(t testing.TB, in saga.Instance[payment]) { requireBooks(t, outside, other, in, end) },
				}
				if end == cancelled {
					play.Interrupt = func(ctx context.Context, m *saga.Manager[payment]) {
						_ = m.Cancel(ctx, "1", "changed my mind") // sometimes too early, and sometimes too late
					}
				}
				return play
			})
		})
	}
}

// TestTwoReleasesTakeOverFromEachOther strikes processes of two releases, of which each goes on where the other was
// struck. The next release has a step more, so the older one leaves the sagas alone that the next one has started.
// The accounts are in another store than the sagas.
func TestTwoReleasesTakeOverFromEachOther(t *testing.T) {
	ends := []string{accepted}
	if proptest.Long() {
		ends = append(ends, refused, silent)
	}
	for _, end := range ends {
		t.Run(end, func(test *testing.T) {
			t := spread{test}
			sagatest.Crash(t, storeEvents()[len(saga.Events()):], func(t testing.TB, store *eventstore.Store) sagatest.Play[payment] {
				vault, outside := vaultOf(t, store), bankOf(t, store)
				vault.payIn(t, "anna", 100)
				other := &otherBank{paid: make(map[string]int), recalled: make(map[string]bool)}
				steps := func(more ...saga.Part[payment]) func(*eventstore.Store) (*saga.Definition[payment], error) {
					return func(own *eventstore.Store) (*saga.Definition[payment], error) {
						return crashSteps(vaultOf(t, own), outside, other, end, more...)
					}
				}
				return sagatest.Play[payment]{
					ID: "1", Data: payment{From: "anna", Amount: 30}, Stores: []*eventstore.Store{vault.store}, Awaits: theAnswer,
					Define: steps(), Next: steps(saga.Step("note", noted("noted")).Retriable()),
					Check: func(t testing.TB, in saga.Instance[payment]) { requireBooks(t, vault, other, in, end) },
				}
			})
		})
	}
}

// vaultOf opens the bank's accounts in a store beside the store of its sagas.
func vaultOf(t testing.TB, store *eventstore.Store) *bank {
	t.Helper()
	vault, err := eventstore.Open(t.Context(), store.JetStream(), store.Name()+"-vault", storeEvents(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, vault.Close()) })
	return bankOf(t, vault)
}

// requireBooks holds the end of a saga against the books of both banks.
func requireBooks(t testing.TB, b *bank, other *otherBank, in saga.Instance[payment], end string) {
	t.Helper()
	if end != cancelled {
		require.Equal(t, end == accepted, in.State == saga.StateCompleted, sagatest.Story(in))
	}
	want, payments := account{Free: 100, Held: []held{}}, 0
	if in.State == saga.StateCompleted {
		want, payments = account{Free: 70, Held: []held{}, Paid: 30}, 1
	}
	anna, err := b.accounts.Load(t.Context(), "anna")
	require.NoError(t, err)
	require.Equal(t, want, account{anna.State.Free, append([]held{}, anna.State.Held...), anna.State.Paid}, sagatest.Story(in))
	require.Equal(t, payments, other.holds(), sagatest.Story(in))
}
