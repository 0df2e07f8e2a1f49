package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/examples/bank/ledger"
	"github.com/runnel-go/runnel/examples/bank/money"
	"github.com/runnel-go/runnel/examples/bank/otherbank"
	"github.com/runnel-go/runnel/natsrun"
	"github.com/runnel-go/runnel/projection"
	"github.com/runnel-go/runnel/saga"
)

// parseOrders parses the arguments of orders.
func parseOrders(args []string, env environment) (command, error) {
	flags, data := newFlags("orders")
	seed := flags.Uint64("seed", 1, "what decides how the other banks treat each payment")
	within := flags.Duration("answer-within", 10*time.Second, "how long the other banks may take to answer")
	rest, help, err := parseFlags(flags, args, env.stdout)
	switch {
	case err != nil || help:
		return nil, err
	case len(rest) != 1:
		return nil, usageError("orders", errors.New(whichFolder+", and order.asc"))
	case *within <= 0:
		return nil, usageError("orders", fmt.Errorf("--answer-within %s: it must be above zero", *within))
	}
	terms := &Terms{Within: *within, Retry: saga.Retry{Tries: 6, Backoff: 50 * time.Millisecond, MaxBackoff: time.Second}}
	return func(ctx context.Context) int {
		return env.toTheEndOn(ctx, *data, terms, func(ctx context.Context, rt *natsrun.Runtime, bank *Bank) error {
			cfg := otherbank.Config{Seed: *seed, Behave: otherbank.Mix(*seed, otherbank.Troubled()), Logger: bank.log}
			return bank.orders(ctx, rt, os.DirFS(rest[0]), cfg, env.stdout, env.stderr)
		})
	}, nil
}

// orders carries out every standing order of the ledger in a directory once, and prints how each ended. The other
// banks behave as cfg says. A second run goes on after an interruption, and pays nothing twice.
func (b *Bank) orders(ctx context.Context, rt *natsrun.Runtime, dir fs.FS, cfg otherbank.Config, stdout, stderr io.Writer) (err error) {
	orders, err := ledger.ReadOrders(dir)
	if err != nil {
		return err
	}
	if err := b.importLedger(ctx, dir, stderr); err != nil { // reads what is booked already
		return err
	}
	if err := b.openForOrders(ctx, orders, stderr); err != nil {
		return err
	}
	front, err := listen(ctx, "127.0.0.1:0", b.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, front.close(ctx)) }()
	cfg.Token = rand.Text()
	stub, err := openStub(ctx, front.listener.Addr(), cfg)
	if err != nil {
		return err
	}
	running, finished := context.WithCancel(ctx)
	defer finished()
	group := rt.NewGroup()
	b.others = newOthers(stub.addTo(group))
	b.addPayments(group)
	group.Add("http", func(ctx context.Context) error { return front.serve(ctx, newServer(b, rt, cfg.Token)) })
	group.Add("orders", func(ctx context.Context) error {
		defer finished()
		ends, err := b.carryOut(ctx, orders, stderr)
		if err != nil {
			return err
		}
		return tell(stdout, orders, ends, stub.Books())
	})
	if err := group.Run(running); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// openForOrders opens the accounts that have orders but no bookings in the ledger. It deposits as much money as their
// orders need.
func (b *Bank) openForOrders(ctx context.Context, orders []ledger.Order, w io.Writer) error {
	needs := make(map[string]money.Amount)
	dates := make(map[string]string)
	for _, order := range orders {
		needs[order.Account] += order.Amount
		dates[order.Account] = order.Opened
	}
	opened := make(chan money.Amount, len(needs))
	err := forEach(ctx, slices.Sorted(maps.Keys(needs)), func(ctx context.Context, account string) error {
		found, err := b.accounts.Load(ctx, account)
		if err != nil || found.Version > 1 { // version 1 means that an earlier run was interrupted
			return err
		}
		open := Open{Owner: "Account " + account, Date: dates[account]}
		if _, err := b.accounts.Do(ctx, account, open, aggregate.Key("orders/open")); err != nil {
			return err
		}
		deposit := Deposit{Amount: needs[account], Text: "for its standing orders", Date: dates[account]}
		_, err = b.accounts.Do(ctx, account, deposit, aggregate.Key("orders/deposit"))
		opened <- needs[account]
		return err
	})
	if err != nil {
		return err
	}
	close(opened)
	var sum money.Amount
	n := len(opened)
	for amount := range opened {
		sum += amount
	}
	_, err = fmt.Fprintf(w, "orders: %d accounts that the ledger has no bookings for were opened with what their orders need, %s\n", n, sum)
	return err
}

// paymentOf returns the payment for one order, and its id.
func paymentOf(order ledger.Order) (id string, p Payment) {
	return "order-" + strconv.FormatInt(order.ID, 10), Payment{
		From: order.Account, Bank: order.Bank, To: order.To, Amount: order.Amount, Text: order.Text,
	}
}

// carryOut starts a payment for each order and waits until each has ended or is stuck.
func (b *Bank) carryOut(ctx context.Context, orders []ledger.Order, w io.Writer) (map[string]saga.Status, error) {
	ctx, cancel := context.WithCancelCause(eventstore.WithMetadata(ctx, eventstore.Metadata{Actor: "orders"}))
	defer cancel(nil)
	wanted := make(map[string]bool, len(orders))
	for _, order := range orders {
		id, _ := paymentOf(order)
		wanted[id] = true
	}
	if err := b.payments.View().WaitFor(ctx, 0); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	ends := make(map[string]saga.Status, len(orders))
	go func() { ended <- b.await(ctx, wanted, ends, w) }()
	err := forEach(ctx, orders, func(ctx context.Context, order ledger.Order) error {
		id, payment := paymentOf(order)
		_, err := b.payments.Start(ctx, id, payment)
		return err
	})
	if err != nil {
		cancel(err)
	}
	return ends, <-ended
}

// await notes how payments ended, until all have. It reports each tenth of them.
func (b *Bank) await(ctx context.Context, wanted map[string]bool, ends map[string]saga.Status, w io.Writer) error {
	tenth := max(len(wanted)/10, 1)
	for len(ends) < len(wanted) {
		for change, err := range b.payments.View().Watch(ctx) {
			switch s := change.Value; {
			case errors.Is(err, projection.ErrVersionChanged):
				continue // and watch again
			case err != nil:
				return err
			case !wanted[s.ID] || !s.State.Final() && s.State != saga.StateStuck:
				continue
			default:
				if _, known := ends[s.ID]; !known && (len(ends)+1)%tenth == 0 {
					_, _ = fmt.Fprintf(w, "orders: %d of %d have ended\n", len(ends)+1, len(wanted)) // for people only
				}
				ends[s.ID] = s
			}
			if len(ends) == len(wanted) {
				break
			}
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
	}
	return nil
}

// errUnsettled ends orders of which some are stuck, or about which the books of the other banks disagree.
var errUnsettled = errors.New("bank: some payments are stuck, or the other banks do not agree: see the output above")

// tell prints how each order ended, and the sums.
func tell(w io.Writer, orders []ledger.Order, ends map[string]saga.Status, books []otherbank.Entry) error {
	tally := make(map[string]int)
	var paid money.Amount
	for _, order := range orders {
		id, payment := paymentOf(order)
		how, why := endOf(ends[id])
		tally[how]++
		if ends[id].State == saga.StateCompleted {
			paid += payment.Amount
		}
		if _, err := fmt.Fprintf(w, "order %d: %s from account %s to %s: %s%s\n", order.ID, order.Amount, order.Account, payment.payee(), how, why); err != nil {
			return err
		}
	}
	differ := differences(ends, books)
	if _, err := fmt.Fprintf(w, "orders: %d, %s paid\n", len(orders), paid); err != nil {
		return err
	}
	for _, how := range slices.SortedFunc(maps.Keys(tally), func(a, b string) int { return cmp.Or(tally[b]-tally[a], cmp.Compare(a, b)) }) {
		if _, err := fmt.Fprintf(w, "%7d %s\n", tally[how], how); err != nil {
			return err
		}
	}
	for _, id := range differ {
		if _, err := fmt.Fprintf(w, "payment %s: the other bank's books do not agree\n", id); err != nil {
			return err
		}
	}
	if len(differ) > 0 || tally[howStuck] > 0 {
		return errUnsettled
	}
	_, err := fmt.Fprintf(w, "other banks: %d payments in their books, and all agree\n", len(books))
	return err
}

// howStuck is endOf's word for a stuck payment.
const howStuck = "stuck"

// endOf returns in words how a payment ended, and why.
func endOf(s saga.Status) (how, why string) {
	switch s.State {
	case saga.StateCompleted:
		return "paid", ""
	case saga.StateCompensated:
		return "given back, " + failedAt(s), ": " + s.Error
	case saga.StateStuck:
		return howStuck, ": " + s.Error
	default:
		return string(s.State), ": " + s.Error
	}
}

// failedAt returns in words at which step a payment turned back.
func failedAt(s saga.Status) string {
	last := s.Steps[0]
	for _, step := range s.Steps {
		if step.State != saga.Ahead {
			last = step
		}
	}
	switch {
	case last.Name == "reserve":
		return "the account cannot pay it"
	case last.Name == "send":
		return "the other bank does not take it"
	case last.Passed:
		return "the other bank does not answer"
	}
	return "the other bank refuses"
}

// differences returns the payments that ended in another way by the books of other banks. The books lack what was
// paid before the stub was started again.
func differences(ends map[string]saga.Status, books []otherbank.Entry) (ids []string) {
	for _, entry := range books {
		end, known := ends[entry.Payment.ID]
		if known && (entry.State == otherbank.Paid) != (end.State == saga.StateCompleted) {
			ids = append(ids, entry.Payment.ID)
		}
	}
	return ids
}
