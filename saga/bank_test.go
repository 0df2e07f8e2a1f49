package saga_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/saga"
)

// The accounts between which the sagas of these tests move money. Money that is under way is held in an account, under
// the saga's id.

type event interface {
	eventstore.Event
	account()
}

type paidIn struct{ Amount int64 }

type held struct {
	Saga   string
	Amount int64
}

type givenBack struct{ Saga string }

type paidOut struct{ Saga string }

func (paidIn) EventType() string    { return "account.paid-in" }
func (held) EventType() string      { return "account.held" }
func (givenBack) EventType() string { return "account.given-back" }
func (paidOut) EventType() string   { return "account.paid-out" }

func (paidIn) account()    {}
func (held) account()      {}
func (givenBack) account() {}
func (paidOut) account()   {}

// answered is what a saga awaits.
type answered struct {
	Saga string
	Yes  bool
}

func (answered) EventType() string { return "answered" }

// ordered starts a saga.
type ordered struct{ Payment payment }

func (ordered) EventType() string { return "ordered" }

func storeEvents() []eventstore.Event {
	return append(saga.Events(), paidIn{}, held{}, givenBack{}, paidOut{}, answered{}, ordered{})
}

type account struct {
	Free int64
	Held []held
	Paid int64
}

func (a account) Clone() account {
	a.Held = slices.Clone(a.Held)
	return a
}

func (a account) find(id string) int {
	return slices.IndexFunc(a.Held, func(h held) bool { return h.Saga == id })
}

func (a account) Evolve(e event) account {
	switch e := e.(type) {
	case paidIn:
		a.Free += e.Amount
	case held:
		a.Free -= e.Amount
		a.Held = append(a.Held, e)
	case givenBack:
		i := a.find(e.Saga)
		a.Free += a.Held[i].Amount
		a.Held = slices.Delete(a.Held, i, i+1)
	case paidOut:
		i := a.find(e.Saga)
		a.Paid += a.Held[i].Amount
		a.Held = slices.Delete(a.Held, i, i+1)
	}
	return a
}

type payIn struct{ Amount int64 }

func (c payIn) Decide(account) ([]event, error) { return []event{paidIn(c)}, nil }

var errFunds = errors.New("not enough money")

type hold struct {
	Saga   string
	Amount int64
}

func (c hold) Decide(a account) ([]event, error) {
	if a.Free < c.Amount {
		return nil, errFunds
	}
	return []event{held(c)}, nil
}

type giveBack struct{ Saga string }

func (c giveBack) Decide(a account) ([]event, error) {
	if a.find(c.Saga) < 0 {
		return nil, nil
	}
	return []event{givenBack(c)}, nil
}

type payOut struct{ Saga string }

func (c payOut) Decide(a account) ([]event, error) {
	if a.find(c.Saga) < 0 {
		return nil, errFunds
	}
	return []event{paidOut(c)}, nil
}

// payment is the data of the sagas.
type payment struct {
	From   string
	Amount int64
	Notes  []string
}

// bank is what one process has of the system.
type bank struct {
	store    *eventstore.Store
	accounts *aggregate.Repository[account, event]
}

func openBank(t testing.TB, js jetstream.JetStream) *bank {
	t.Helper()
	store, err := eventstore.Open(t.Context(), js, "bank", storeEvents(), &eventstore.Config{Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return bankOf(t, store)
}

func bankOf(t testing.TB, store *eventstore.Store) *bank {
	t.Helper()
	accounts, err := aggregate.New(store, "account", account{}, nil)
	require.NoError(t, err)
	return &bank{store, accounts}
}

func (b *bank) payIn(t testing.TB, id string, amount int64) {
	t.Helper()
	_, err := b.accounts.Do(t.Context(), id, payIn{amount})
	require.NoError(t, err)
}

func (b *bank) hold(ctx context.Context, call saga.Call, p payment) (payment, error) {
	_, err := b.accounts.Do(ctx, p.From, hold{call.Saga(), p.Amount}, call.Once())
	return p, err
}

func (b *bank) giveBack(ctx context.Context, call saga.Call, p payment) (payment, error) {
	_, err := b.accounts.Do(ctx, p.From, giveBack{call.Saga()}, call.Once())
	return p, err
}

func (b *bank) payOut(ctx context.Context, call saga.Call, p payment) (payment, error) {
	_, err := b.accounts.Do(ctx, p.From, payOut{call.Saga()}, call.Once())
	return p, err
}

// noted is an action that only notes in the data that it ran.
func noted(what string) saga.Action[payment] {
	return func(_ context.Context, _ saga.Call, p payment) (payment, error) {
		p.Notes = append(slices.Clip(p.Notes), what)
		return p, nil
	}
}

// define defines sagas, which must be right.
func define[S any](t testing.TB, name string, parts ...saga.Part[S]) *saga.Definition[S] {
	t.Helper()
	d, err := saga.Define(name, parts...)
	require.NoError(t, err)
	return d
}

// open returns a manager that does not run.
func open[S any](t testing.TB, b *bank, d *saga.Definition[S], cfg *saga.Config) *saga.Manager[S] {
	t.Helper()
	m, err := saga.Open(t.Context(), b.store, d, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

// run runs a manager until the test, or the function that is given back, ends it. A test that ends may close the
// manager, or its store, first. Then Run ends with that.
func run[S any](t testing.TB, m *saga.Manager[S]) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; !errors.Is(err, jsapi.ErrClosed) {
			require.NoError(t, err)
		}
	}
	t.Cleanup(stop)
	return stop
}
