package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/natsrun"
	"github.com/runnel-go/runnel/saga"
)

const (
	storeName = "bank"    // of the store and of its JetStream stream
	category  = "account" // of the accounts' streams
)

// Bank is everything that the sub-commands work on.
type Bank struct {
	store    *eventstore.Store
	accounts *aggregate.Repository[Account, Event]
	answers  *aggregate.Repository[Answer, AnswerEvent]
	payments *saga.Manager[Payment]
	others   *others // receive the payments; nil if there are none
	views    *Views
	today    func() string
	log      *slog.Logger
}

// openBank opens the store, the accounts, the payments and the views on a runtime. The caller must call Close.
func openBank(ctx context.Context, rt *natsrun.Runtime, log *slog.Logger, terms *Terms) (*Bank, error) {
	return openBankWith(ctx, rt, log, terms, &eventstore.Config{AckTimeout: ackTime, Reads: rt.Reads(), Logger: log})
}

func openBankWith(ctx context.Context, rt *natsrun.Runtime, log *slog.Logger, terms *Terms, cfg *eventstore.Config) (*Bank, error) {
	store, err := eventstore.Open(ctx, rt.Commands(), storeName, append(saga.Events(), Events...), cfg)
	if err != nil {
		return nil, err
	}
	b := &Bank{store: store, log: log, today: func() string { return time.Now().Format(time.DateOnly) }}
	if err := b.open(ctx, terms); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// open opens what works on the store.
func (b *Bank) open(ctx context.Context, terms *Terms) (err error) {
	if b.accounts, err = aggregate.New(b.store, category, Account{}, nil); err != nil {
		return err
	}
	if b.answers, err = aggregate.New(b.store, answerCategory, Answer{}, nil); err != nil {
		return err
	}
	if b.views, err = openViews(ctx, b.store); err != nil {
		return err
	}
	b.payments, err = b.openPayments(ctx, terms)
	return err
}

// Close closes everything that was opened. The runtime stays open.
func (b *Bank) Close() error {
	var errs []error
	if b.payments != nil {
		errs = append(errs, b.payments.Close())
	}
	if b.views != nil {
		errs = append(errs, b.views.Close())
	}
	b.others.close()
	return errors.Join(append(errs, b.store.Close())...)
}

// addViews adds the runners of the views to a group.
func (b *Bank) addViews(group *natsrun.Group) {
	for _, view := range b.views.all() {
		group.Add(view.Name(), view.Run)
	}
}

// building returns the views that cannot be read, because they are being built for the first time.
func (b *Bank) building() []string {
	var names []string
	for _, view := range append(b.views.all(), readModel(b.payments.View())) {
		if view.Buckets() == nil {
			names = append(names, view.Name())
		}
	}
	return names
}

// addPayments adds the runner of the payments to a group.
func (b *Bank) addPayments(group *natsrun.Group) { group.Add("payments", b.payments.Run) }
