package figures

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/runnel-go/runnel/bench/internal/measure"
	"github.com/runnel-go/runnel/bench/internal/service"
)

// httpAccounts is how many accounts the deposits go to.
const httpAccounts = 1000

// http measures deposits over HTTP.
func (s Sizes) http(ctx context.Context, run *measure.Run) error {
	dir, err := run.TempDir()
	if err != nil {
		return err
	}
	server, err := postgres(ctx, run)
	if err != nil {
		return err
	}
	store, err := openTable(ctx, server, 1, false)
	if err != nil {
		return err
	}
	run.Cleanup(func() error { return store.Close(context.WithoutCancel(ctx)) })
	if err := describe(ctx, run, store); err != nil {
		return err
	}
	bank, err := service.Bank(ctx, dir)
	if err != nil {
		return err
	}
	run.Cleanup(bank.Close)
	rival, err := service.Table(ctx, server.URL)
	if err != nil {
		return err
	}
	run.Cleanup(rival.Close)
	own, other := service.NewClient(bank, fillers), service.NewClient(rival, fillers)
	run.Cleanup(own.Close)
	run.Cleanup(other.Close)
	run.Step("opening %s accounts", thousands(httpAccounts))
	err = each(httpAccounts, func(i int) error {
		if err := own.Post(ctx, "/accounts", fmt.Sprintf(`{"id":"%d","owner":"Anna"}`, i)); err != nil {
			return err
		}
		return deposit(ctx, other, i)
	})
	if err != nil {
		return err
	}
	return s.deposits(ctx, run, own, other)
}

func (s Sizes) deposits(ctx context.Context, run *measure.Run, own, other *service.Client) error {
	one := func(client *service.Client) round {
		return func(ctx context.Context) (measure.Sample, error) {
			return timing(run.Scale.Round, func() error { return deposit(ctx, client, rand.IntN(httpAccounts)) })
		}
	}
	err := run.Case(ctx, measure.Case{
		Name: "1 client", Unit: "ms",
		Ways: []measure.Way{{Name: ours, Round: one(own)}, {Name: rows, Round: one(other)}},
		Bars: []measure.Bar{{Way: ours, Against: rows, AtLeast: 1}},
	})
	if err != nil {
		return err
	}
	many := func(client *service.Client) round {
		return func(ctx context.Context) (measure.Sample, error) {
			return during(run.Scale.Round, fillers, func(int) error { return deposit(ctx, client, rand.IntN(httpAccounts)) })
		}
	}
	return run.Case(ctx, measure.Case{
		Name: "64 clients", Unit: "deposits/s",
		Ways: []measure.Way{{Name: ours, Round: many(own)}, {Name: rows, Round: many(other)}},
		Bars: []measure.Bar{{Way: ours, Against: rows, AtLeast: 1.5}},
	})
}

func deposit(ctx context.Context, client *service.Client, account int) error {
	return client.Post(ctx, fmt.Sprintf("/accounts/%d/deposits", account), `{"amount":"12.50","text":"a booking of some length"}`)
}
