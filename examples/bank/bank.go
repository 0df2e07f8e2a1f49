package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/natsrun"
)

const (
	storeName = "bank"    // of the store, and with it of its JetStream stream
	category  = "account" // of the streams
)

// Bank is everything that the sub-commands work on.
type Bank struct {
	store    *eventstore.Store
	accounts *aggregate.Repository[Account, Event]
	answers  *aggregate.Repository[Answer, AnswerEvent]
	views    *Views
	log      *slog.Logger
}

// openBank opens the store, the accounts and the views on a runtime. Close gives back what they hold.
func openBank(ctx context.Context, rt *natsrun.Runtime, log *slog.Logger) (*Bank, error) {
	return openBankWith(ctx, rt, log, &eventstore.Config{Reads: rt.Reads(), Logger: log})
}

func openBankWith(ctx context.Context, rt *natsrun.Runtime, log *slog.Logger, cfg *eventstore.Config) (*Bank, error) {
	store, err := eventstore.Open(ctx, rt.Commands(), storeName, Events, cfg)
	if err != nil {
		return nil, err
	}
	accounts, err := aggregate.New(store, category, Account{}, nil)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	answers, err := aggregate.New(store, answerCategory, Answer{}, nil)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	views, err := openViews(ctx, store)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return &Bank{store: store, accounts: accounts, answers: answers, views: views, log: log}, nil
}

// Close gives back the views' and the store's subscriptions. The runtime stays open.
func (b *Bank) Close() error { return errors.Join(b.views.Close(), b.store.Close()) }

// addViews makes a group keep the views up to date.
func (b *Bank) addViews(group *natsrun.Group) {
	for _, view := range b.views.all() {
		group.Add(view.Name(), view.Run)
	}
}
