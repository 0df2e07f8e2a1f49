package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/examples/bank/ledger"
)

// importWorkers is how many accounts are booked at the same time. A booking counts once it is on disk, and one sync
// serves all bookings that wait. So 64 accounts at a time are booked several times as fast as 16.
const importWorkers = 64

// importLedger books the ledger in a directory through the accounts, and shows its progress on w.
//
// Each booking expects the version that its account has after all earlier bookings. So an interrupted import goes on
// where each account ends. Any number of imports may run at once, and nothing is booked twice.
func (b *Bank) importLedger(ctx context.Context, dir fs.FS, w io.Writer) error {
	accounts, err := ledger.Read(dir)
	if err != nil {
		return err
	}
	plans := make([]plan, len(accounts))
	total := 0
	for i, account := range accounts {
		plans[i] = planOf(account)
		total += int(plans[i].last())
	}
	bar := startProgress(w, total)
	ctx = eventstore.WithMetadata(ctx, eventstore.Metadata{Actor: "import"})
	err = forEach(ctx, plans, func(ctx context.Context, p plan) error { return b.book(ctx, p, bar) })
	summary := bar.finish()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "import: %s, %d accounts\n", summary, len(accounts))
	return err
}

// forEach calls do for each item, importWorkers at a time. It returns the first error when all workers have ended.
func forEach[T any](ctx context.Context, items []T, do func(ctx context.Context, item T) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		workers sync.WaitGroup
		next    atomic.Int64
	)
	for range min(importWorkers, len(items)) {
		workers.Go(func() {
			for i := next.Add(1); i <= int64(len(items)); i = next.Add(1) {
				if err := do(ctx, items[i-1]); err != nil {
					cancel(err) // the first error stays the cause
					return
				}
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}

// plan holds an account's commands of an import, and the version that each command expects.
type plan struct {
	account  string
	opened   Opened
	commands []aggregate.Command[Account, Event]
	versions []eventstore.Version // one more than commands: the last is the version of the finished account
}

func (p plan) last() eventstore.Version { return p.versions[len(p.versions)-1] }

// from returns the index of the next command for an account at a version, or len(p.commands) if all are done. It
// returns false for a version at which no import leaves the account.
func (p plan) from(version eventstore.Version) (int, bool) {
	if version > p.last() {
		return len(p.commands), true // others book on an account that was imported
	}
	return slices.BinarySearch(p.versions, version)
}

func planOf(account ledger.Account) plan {
	p := plan{
		account: account.ID,
		opened:  Opened{Owner: "Account " + account.ID, Overdraft: account.Overdraft(), Date: account.Opened},
	}
	add := func(command aggregate.Command[Account, Event], events eventstore.Version) {
		p.commands = append(p.commands, command)
		p.versions = append(p.versions, p.last()+events)
	}
	p.versions = []eventstore.Version{0}
	add(Open{Owner: p.opened.Owner, Overdraft: p.opened.Overdraft, Date: p.opened.Date}, 1)
	row := int64(0)
	for _, booking := range account.Bookings {
		events := eventstore.Version(1)
		if booking.Fit != ledger.Exact {
			events = 2
		}
		add(BookRow{Booking: booking, After: row}, events)
		row = booking.ID
	}
	return p
}

// book does the commands of a plan that have not been done yet.
func (b *Bank) book(ctx context.Context, p plan, bar *progress) error {
	found, err := b.accounts.Load(ctx, p.account)
	if err != nil {
		return err
	}
	bar.add(int(min(found.Version, p.last())), true)
	for {
		next, ok := p.from(found.Version)
		if !ok || found.Version > 0 && !p.owns(found.State) {
			return fmt.Errorf("bank: import account %s: it is at version %d with bookings that are not from the ledger: import into another data directory",
				p.account, found.Version)
		}
		if next == len(p.commands) {
			return nil
		}
		done, err := b.accounts.Do(ctx, p.account, p.commands[next], aggregate.IfVersion(p.versions[next]))
		if errors.Is(err, eventstore.ErrConflict) {
			// Another import was faster.
			before := found.Version
			if found, err = b.accounts.Load(ctx, p.account); err != nil {
				return err
			}
			bar.add(int(min(found.Version, p.last())-before), true)
			continue
		}
		if err != nil {
			return fmt.Errorf("bank: import account %s: %w", p.account, err)
		}
		bar.add(len(done.Events), false)
		found = done
	}
}

// owns reports whether an import of this ledger has opened the account.
func (p plan) owns(a Account) bool {
	return a.Owner == p.opened.Owner && a.Overdraft == p.opened.Overdraft && a.Since == p.opened.Date
}
