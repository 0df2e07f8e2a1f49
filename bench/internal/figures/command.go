package figures

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/bench/internal/common"
	"github.com/runnel-go/runnel/bench/internal/measure"
	"github.com/runnel-go/runnel/bench/internal/raw"
	"github.com/runnel-go/runnel/bench/internal/servers"
	"github.com/runnel-go/runnel/eventstore"
)

// Account is the aggregate of the figures.
type Account struct{ Balance, Bookings int64 }

// Evolve counts a booking.
func (a Account) Evolve(e Booked) Account { return Account{a.Balance + e.Amount, a.Bookings + 1} }

// Book is the command of the figures.
type Book struct{ Amount int64 }

// Decide books.
func (c Book) Decide(a Account) ([]Booked, error) {
	return []Booked{{Amount: c.Amount, Balance: a.Balance + c.Amount, Text: booked.Text}}, nil
}

func (s Sizes) command(ctx context.Context, run *measure.Run) error {
	on, err := embedded(ctx, run)
	if err != nil {
		return err
	}
	store, err := open(ctx, run, on, "bank")
	if err != nil {
		return err
	}
	if err := raw.Stream(ctx, on.JS, "raw", on.Replicas); err != nil {
		return err
	}
	data, err := payload(ctx, on, store, 1, streamInUse)
	if err != nil {
		return err
	}
	for _, goroutines := range []int{1, 64} {
		warm, err := commands(run, store, goroutines)
		if err != nil {
			return err
		}
		err = run.Case(ctx, measure.Case{
			Name: "warm, " + plural(goroutines, "goroutine"),
			Unit: "commands/s",
			Ways: []measure.Way{
				{Name: ours, Round: warm},
				{Name: plain, Round: publishes(ctx, run, on, goroutines, data)},
			},
			Bars: []measure.Bar{{Way: ours, Against: plain, AtLeast: map[int]float64{1: 0.95, 64: 0.9}[goroutines]}},
		})
		if err != nil {
			return err
		}
	}
	return s.coldCommand(ctx, run, on, store, data)
}

// commands lets each goroutine send commands to an aggregate of its own, which stays in memory.
func commands(run *measure.Run, store *eventstore.Store, goroutines int) (round, error) {
	accounts, err := aggregate.New(store, "account", Account{}, nil)
	if err != nil {
		return nil, err
	}
	ids := make([]string, goroutines)
	for g := range ids {
		ids[g] = strconv.Itoa(rand.Int())
	}
	return func(ctx context.Context) (measure.Sample, error) {
		return during(run.Scale.Round, goroutines, func(g int) error {
			_, err := accounts.Do(ctx, ids[g], Book{1})
			return err
		})
	}, nil
}

func (s Sizes) coldCommand(ctx context.Context, run *measure.Run, on *servers.Servers, store *eventstore.Store, data []byte) error {
	const streams = 5000
	run.Step("writing %d streams of ten commits", streams)
	positions, err := fill(ctx, store, 0, streams, 10)
	if err != nil {
		return err
	}
	accounts, err := aggregate.New(store, "account", Account{}, &aggregate.Config{CacheSize: -1})
	if err != nil {
		return err
	}
	gets, err := raw.NewGets(on.Conn, "bank")
	if err != nil {
		return err
	}
	run.Cleanup(gets.Close)
	beside, err := openCommon(ctx, on, "common")
	if err != nil {
		return err
	}
	if err := fillCommon(ctx, beside, streams); err != nil {
		return err
	}
	last := make(map[string]uint64)
	return run.Case(ctx, measure.Case{
		Name: "cold, 1 goroutine",
		Unit: "commands/s",
		Ways: []measure.Way{
			{Name: ours, Round: func(ctx context.Context) (measure.Sample, error) {
				return during(run.Scale.Round, 1, func(int) error {
					_, err := accounts.Do(ctx, strconv.Itoa(rand.IntN(streams)), Book{1})
					return err
				})
			}},
			{Name: plain, Round: func(ctx context.Context) (measure.Sample, error) {
				return during(run.Scale.Round, 1, func(int) (err error) {
					i := rand.IntN(streams)
					if _, err := gets.Last(fmt.Sprint("bank.account.", i)); err != nil {
						return err
					}
					if err := gets.Sequences(positions.of(i)[:9]); err != nil {
						return err
					}
					subject := fmt.Sprint("raw.account.", i)
					last[subject], err = raw.Publish(ctx, on.JS, subject, last[subject], data)
					return err
				})
			}},
			{Name: usual, Round: func(ctx context.Context) (measure.Sample, error) {
				return during(run.Scale.Round, 1, func(int) error {
					stream := commonAccount(rand.IntN(streams))
					_, last, err := beside.Load(ctx, stream)
					if err != nil {
						return err
					}
					_, err = beside.Append(ctx, stream, last, booked)
					return err
				})
			}},
		},
	})
}

// positions are the positions of the commits of streams that all have the same number of commits.
type positions struct {
	commits int
	all     []uint64
}

func (p positions) of(i int) []uint64 { return p.all[i*p.commits : (i+1)*p.commits] }

// fill writes so many commits to each of the streams that begin with a number, round-robin.
func fill(ctx context.Context, store *eventstore.Store, first, streams, commits int) (positions, error) {
	written := positions{commits, make([]uint64, streams*commits)}
	heads := make([]eventstore.Head, streams)
	for n := range commits {
		err := each(streams, func(i int) error {
			commit, err := store.Append(ctx, account(first+i), heads[i], booked)
			if err != nil {
				return err
			}
			heads[i] = commit.Head()
			written.of(i)[n] = uint64(commit.Position)
			return nil
		})
		if err != nil {
			return positions{}, err
		}
	}
	return written, nil
}

// fillCommon writes ten events to each of the first streams, round-robin.
func fillCommon(ctx context.Context, store *common.Store, streams int) error {
	last := make([]uint64, streams)
	for range 10 {
		err := each(streams, func(i int) (err error) {
			last[i], err = store.Append(ctx, commonAccount(i), last[i], booked)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// contenders is how many writers one stream has.
const contenders = 16

func (s Sizes) contended(ctx context.Context, run *measure.Run) error {
	on, err := embedded(ctx, run)
	if err != nil {
		return err
	}
	store, err := open(ctx, run, on, "bank")
	if err != nil {
		return err
	}
	if err := raw.Stream(ctx, on.JS, "raw", on.Replicas); err != nil {
		return err
	}
	data, err := payload(ctx, on, store, 1, streamInUse)
	if err != nil {
		return err
	}
	beside, err := openCommon(ctx, on, "common")
	if err != nil {
		return err
	}
	var writers []*aggregate.Repository[Account, Booked]
	for range contenders {
		// A repository runs the commands on one aggregate one after the other, so each writer has its own.
		accounts, err := aggregate.New(store, "account", Account{}, &aggregate.Config{MaxTries: 1000})
		if err != nil {
			return err
		}
		writers = append(writers, accounts)
	}
	return run.Case(ctx, measure.Case{
		Name: "16 writers on one stream",
		Unit: "appends/s",
		Ways: []measure.Way{
			{Name: ours, Round: func(ctx context.Context) (measure.Sample, error) {
				id := strconv.Itoa(rand.Int())
				return during(run.Scale.Round, contenders, func(g int) error {
					_, err := writers[g].Do(ctx, id, Book{1})
					return err
				})
			}},
			{Name: plain, Round: func(ctx context.Context) (measure.Sample, error) {
				stream, err := on.JS.Stream(ctx, "raw")
				if err != nil {
					return measure.Sample{}, err
				}
				subject := fmt.Sprint("raw.account.", rand.Int())
				last := make([]uint64, contenders)
				return during(run.Scale.Round, contenders, func(g int) (err error) {
					last[g], err = win(ctx, on.JS, stream, subject, last[g], data)
					return err
				})
			}},
			{Name: usual, Round: func(ctx context.Context) (measure.Sample, error) {
				stream := commonAccount(rand.Int())
				last := make([]uint64, contenders)
				return during(run.Scale.Round, contenders, func(g int) (err error) {
					last[g], err = winCommon(ctx, beside, stream, last[g])
					return err
				})
			}},
		},
	})
}

// win publishes until it is the next writer on the subject.
func win(ctx context.Context, js jetstream.JetStream, stream jetstream.Stream, subject string, last uint64, data []byte) (uint64, error) {
	for {
		sequence, err := raw.PublishAsync(ctx, js, subject, last, data)
		if err == nil {
			return sequence, nil
		}
		if !wrongLast(err) {
			return 0, err
		}
		msg, err := stream.GetLastMsgForSubject(ctx, subject)
		if err != nil {
			return 0, err
		}
		last = msg.Sequence
	}
}

// winCommon appends until it wins. In between it loads the stream, as a program would that has to decide anew.
func winCommon(ctx context.Context, store *common.Store, stream string, last uint64) (uint64, error) {
	for {
		sequence, err := store.Append(ctx, stream, last, booked)
		if !errors.Is(err, common.ErrConflict) {
			return sequence, err
		}
		if _, last, err = store.Load(ctx, stream); err != nil {
			return 0, err
		}
	}
}
