package figures

import (
	"context"
	"errors"
	"log/slog"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/bench/internal/measure"
	"github.com/runnel-go/runnel/bench/internal/raw"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/saga"
)

// Payment is the state of the figures' sagas.
type Payment struct {
	From   string
	Amount int64
}

// sagaAccounts is how many accounts each step has.
const sagaAccounts = 1000

func (s Sizes) saga(ctx context.Context, run *measure.Run) error {
	on, err := embedded(ctx, run)
	if err != nil {
		return err
	}
	store, err := eventstore.Open(ctx, on.JS, "bank", append(saga.Events(), Booked{}), &eventstore.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	run.Cleanup(store.Close)
	payments, err := newPayments(ctx, run, store)
	if err != nil {
		return err
	}
	if err := raw.Stream(ctx, on.JS, "raw", 1); err != nil {
		return err
	}
	data, err := payload(ctx, on, store, 1, newStream)
	if err != nil {
		return err
	}
	rounds := 0
	publishes := measure.Way{Name: plain, Round: func(ctx context.Context) (measure.Sample, error) {
		return measure.Sample{Count: s.Sagas}, each(s.Sagas, func(i int) error {
			return rawSaga(ctx, on.JS, name("saga", rounds)+"-"+strconv.Itoa(i), data)
		})
	}}
	for _, c := range []struct {
		name    string
		run     func(ctx context.Context, store *eventstore.Store, payments *saga.Manager[Payment], prefix string, n int) error
		atLeast float64
	}{
		{"three steps, 64 at a time", runSagas, 0.3},
		{"three steps, all started at once", startSagas, 0.25},
	} {
		err := run.Case(ctx, measure.Case{
			Name: c.name,
			Unit: "sagas/s",
			Ways: []measure.Way{
				{Name: ours, Round: func(ctx context.Context) (measure.Sample, error) {
					rounds++
					return measure.Sample{Count: s.Sagas}, c.run(ctx, store, payments, name("saga", rounds), s.Sagas)
				}},
				publishes,
			},
			Bars: []measure.Bar{{Way: ours, Against: plain, AtLeast: c.atLeast}},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// newPayments runs sagas of three steps, each with a command on an account of its own.
func newPayments(ctx context.Context, run *measure.Run, store *eventstore.Store) (*saga.Manager[Payment], error) {
	accounts, err := aggregate.New(store, "account", Account{}, nil)
	if err != nil {
		return nil, err
	}
	step := func(name string) saga.Part[Payment] {
		act := func(ctx context.Context, call saga.Call, p Payment) (Payment, error) {
			_, err := accounts.Do(ctx, p.From+name, Book{p.Amount}, call.Once())
			return p, err
		}
		return saga.Step(name, act).Undo(act)
	}
	definition, err := saga.Define("payment", step("a"), step("b"), step("c"))
	if err != nil {
		return nil, err
	}
	payments, err := saga.Open(ctx, store, definition, &saga.Config{Workers: 64})
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- payments.Run(running) }()
	run.Cleanup(func() error {
		stop()
		return errors.Join(<-ended, payments.Close())
	})
	return payments, payments.View().WaitFor(ctx, 0)
}

// runSagas runs sagas, 64 at a time: the next is started when the log says that one is completed.
func runSagas(ctx context.Context, store *eventstore.Store, payments *saga.Manager[Payment], prefix string, n int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	completed := make(map[string]chan struct{}, n)
	for i := range n {
		completed[sagaID(prefix, i)] = make(chan struct{})
	}
	started := make(chan error, 1)
	end, err := store.End(ctx)
	if err != nil {
		return err
	}
	go func() {
		started <- each(n, func(i int) error {
			if err := start(ctx, payments, prefix, i); err != nil {
				return err
			}
			select {
			case <-completed[sagaID(prefix, i)]:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	err = eachCompleted(ctx, store, end, n, func(id string) { close(completed[id]) })
	if err != nil {
		cancel()
	}
	return errors.Join(err, <-started)
}

// startSagas starts sagas as fast as it can, and waits until the log says that all of them are completed.
func startSagas(ctx context.Context, store *eventstore.Store, payments *saga.Manager[Payment], prefix string, n int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	end, err := store.End(ctx)
	if err != nil {
		return err
	}
	started := make(chan error, 1)
	go func() {
		started <- each(n, func(i int) error { return start(ctx, payments, prefix, i) })
	}()
	err = eachCompleted(ctx, store, end, n, func(string) {})
	if err != nil {
		cancel()
	}
	return errors.Join(err, <-started)
}

func sagaID(prefix string, i int) string { return prefix + "-" + strconv.Itoa(i) }

func start(ctx context.Context, payments *saga.Manager[Payment], prefix string, i int) error {
	_, err := payments.Start(ctx, sagaID(prefix, i), Payment{From: strconv.Itoa(i % sagaAccounts), Amount: 1})
	return err
}

// eachCompleted calls f with the ids of the next n sagas that are completed.
func eachCompleted(ctx context.Context, store *eventstore.Store, after eventstore.Position, n int, f func(id string)) error {
	for recorded, err := range store.All(ctx, eventstore.After(after), eventstore.Live(), eventstore.Categories("payment"), eventstore.Types("saga.completed")) {
		if err != nil {
			return err
		}
		f(recorded.Stream.ID)
		if n--; n == 0 {
			break
		}
	}
	return nil
}

// rawSaga publishes what a saga appends: its start, the end of each of its steps, and the three commands.
func rawSaga(ctx context.Context, js jetstream.JetStream, id string, data []byte) error {
	last, err := raw.PublishAsync(ctx, js, "raw.payment."+id, 0, data)
	if err != nil {
		return err
	}
	for _, step := range []string{"a", "b", "c"} {
		if _, err := raw.PublishAsync(ctx, js, "raw.account."+id+step, 0, data); err != nil {
			return err
		}
		if last, err = raw.PublishAsync(ctx, js, "raw.payment."+id, last, data); err != nil {
			return err
		}
	}
	return nil
}
