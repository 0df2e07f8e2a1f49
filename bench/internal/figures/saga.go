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
	return run.Case(ctx, measure.Case{
		Name: "three steps, 64 at a time",
		Unit: "sagas/s",
		Ways: []measure.Way{
			{Name: ours, Round: func(ctx context.Context) (measure.Sample, error) {
				rounds++
				return measure.Sample{Count: s.Sagas}, runSagas(ctx, store, payments, name("saga", rounds), s.Sagas)
			}},
			{Name: plain, Round: func(ctx context.Context) (measure.Sample, error) {
				return measure.Sample{Count: s.Sagas}, each(s.Sagas, func(i int) error {
					return rawSaga(ctx, on.JS, name("saga", rounds)+"-"+strconv.Itoa(i), data)
				})
			}},
		},
		Bars: []measure.Bar{{Way: ours, Against: plain, AtLeast: 0.25}},
	})
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

// runSagas starts sagas, and waits until the log says that all of them are completed.
func runSagas(ctx context.Context, store *eventstore.Store, payments *saga.Manager[Payment], prefix string, n int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	end, err := store.End(ctx)
	if err != nil {
		return err
	}
	started := make(chan error, 1)
	go func() {
		started <- each(n, func(i int) error {
			_, err := payments.Start(ctx, prefix+"-"+strconv.Itoa(i), Payment{From: strconv.Itoa(i % sagaAccounts), Amount: 1})
			return err
		})
	}()
	left := n
	for _, err := range store.All(ctx, eventstore.After(end), eventstore.Live(), eventstore.Categories("payment"), eventstore.Types("saga.completed")) {
		if err != nil {
			return err
		}
		if left--; left == 0 {
			break
		}
	}
	return <-started
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
