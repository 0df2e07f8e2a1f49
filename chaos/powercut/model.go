package main

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/projection"
)

// store and view are their names.
const (
	storeName = "bank"
	viewName  = "balances"
)

// moved is the only event.
type moved struct {
	Amount int64
	Text   string // makes commits as large as the commits of a real program
}

// EventType is the event's name in the log.
func (moved) EventType() string { return "account.moved" }

// balance is the document of an account, under its category and id.
type balance struct {
	Amount  int64
	Commits int64
}

func (b balance) add(amount int64) balance {
	return balance{Amount: b.Amount + amount, Commits: b.Commits + 1}
}

// The categories: accounts are written alone, parties in transactions only.
const (
	accounts = "account"
	parties  = "party"
)

func stream(category string, id int) eventstore.StreamID {
	return eventstore.StreamID{Category: category, ID: fmt.Sprint(id)}
}

func key(s eventstore.StreamID) string { return s.Category + "." + s.ID }

func openView(ctx context.Context, store *eventstore.Store, cfg *projection.Config) (*projection.View[balance], error) {
	return projection.Open(ctx, store, viewName, 1, cfg,
		projection.On(func(b balance, e moved) balance { return b.add(e.Amount) }).
			ByRecorded(func(_ moved, r eventstore.Recorded) string { return key(r.Stream) }))
}

// ack is a commit that was acknowledged.
type ack struct {
	id       uuid.UUID
	position eventstore.Position
}

// amountOf decodes a commit, which has one event.
func amountOf(c *eventstore.Commit) (amount int64, err error) {
	for recorded := range c.Events() {
		events, err := recorded.Decode()
		if err != nil {
			return 0, err
		}
		for _, event := range events {
			amount += event.(moved).Amount
		}
	}
	return amount, nil
}
