package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/examples/bank/ledger"
	"github.com/runnel-go/runnel/examples/bank/money"
)

// maxFindings is how many findings are printed. All of them are counted.
const maxFindings = 50

// audit replays the whole log. It compares the log with the ledger in a directory and with the views, which must run.
// It prints its findings on w and returns how many of them are wrong. Nobody may book during an audit.
//
// It computes every balance itself from the amounts. It believes neither the state of the aggregate nor the balances
// in the events.
func (b *Bank) audit(ctx context.Context, dir fs.FS, w io.Writer) (wrong int, err error) {
	accounts, err := ledger.Read(dir)
	if err != nil {
		return 0, err
	}
	a := newAudit(accounts, w)
	if err := a.replay(ctx, b.store); err != nil {
		return 0, err
	}
	a.compareWithLedger(accounts)
	if err := a.compareWithViews(ctx, b.views, a.end); err != nil {
		return 0, err
	}
	_, err = fmt.Fprintf(w, "audit: %d rows agree, %d listed, %d wrong\n", a.agree, a.listed, a.wrong)
	return a.wrong, err
}

// replay reads all events of a log, and compares the sums and the payments.
func (a *audit) replay(ctx context.Context, store *eventstore.Store) error {
	for recorded, err := range store.All(ctx) {
		if err != nil {
			return err
		}
		decoded, err := recorded.Decode()
		if err != nil {
			return err
		}
		for _, event := range decoded {
			a.event(event, recorded)
		}
		a.sums.check(a, recorded)
	}
	a.sums.say(a)
	a.comparePayments()
	return nil
}

// audit is what is known of the log so far.
type audit struct {
	w        io.Writer
	accounts map[string]*audited
	end      eventstore.Position
	sums     sums

	payments map[string]paymentEnd
	balances map[string]Balance // what the views should hold
	entries  map[string]Entry

	agree, listed, wrong int
}

// audited is one account in an audit.
type audited struct {
	plan     *plan            // nil if the ledger does not have the account
	bookings []ledger.Booking // rows that were not read yet
	version  eventstore.Version
	balance  money.Amount // computed
	floor    money.Amount // the lowest balance that is allowed
	last     money.Amount // the balance after the last row of the ledger
	opened   bool
	flight   map[string]money.Amount // reserved amounts, by order
	paid     []string                // confirmed orders

	// These fields are about the commit that is being read.
	row      int64 // of the ledger, or 0
	rounded  bool
	repaired bool // by a correction
	faulty   bool
}

func newAudit(accounts []ledger.Account, w io.Writer) *audit {
	a := &audit{
		w: w, accounts: make(map[string]*audited, len(accounts)),
		payments: make(map[string]paymentEnd), balances: make(map[string]Balance), entries: make(map[string]Entry),
	}
	for _, account := range accounts {
		p := planOf(account)
		a.accounts[account.ID] = &audited{plan: &p, bookings: account.Bookings}
	}
	return a
}

// found reports something that is wrong.
func (a *audit) found(format string, args ...any) {
	a.wrong++
	switch {
	case a.wrong <= maxFindings:
		a.say("wrong: "+format, args...)
	case a.wrong == maxFindings+1:
		a.say("wrong: more, which are only counted")
	}
}

// say prints a line. It ignores errors, because audit also returns the result.
func (a *audit) say(format string, args ...any) {
	_, _ = fmt.Fprintf(a.w, format+"\n", args...)
}

// event takes the next event of the log.
func (a *audit) event(decoded eventstore.Event, r eventstore.Recorded) {
	a.end = r.Position
	event, isAccounts := decoded.(Event)
	_, isAnswer := decoded.(AnswerEvent)
	switch {
	case r.Stream.Category == category && isAccounts:
		a.accountEvent(event, r)
	case r.Stream.Category == category && r.Type() == eventstore.KeyClosed{}.EventType():
		a.closedKey(r)
	case r.Stream.Category == answerCategory && isAnswer:
		a.answered(r)
	case r.Stream.Category == paymentCategory && !isAccounts && !isAnswer:
		a.payment(decoded, r)
	default:
		a.found("%s version %d at position %d: %q is not an account's event", r.Stream, r.Version(), r.Position, r.Type())
	}
}

// accountEvent takes an event of an account.
func (a *audit) accountEvent(event Event, r eventstore.Recorded) {
	id := r.Stream.ID
	account := a.account(id)
	a.entries[entryKey(id, r.Version())] = entryOf(event, id, r.Version())
	a.balances[id] = a.balances[id].after(event, id, r.Version())
	if r.Index == 0 {
		account.row, account.rounded, account.repaired, account.faulty = 0, false, false, false
	}
	if fault := a.reckon(account, event, r.Version()); fault != "" {
		account.faulty = true
		a.found("account %s version %d at position %d: %s", id, r.Version(), r.Position, fault)
	}
	if r.Index == r.Len()-1 && account.row != 0 {
		a.row(account, r)
	}
}

func (a *audit) account(id string) *audited {
	account := a.accounts[id]
	if account == nil {
		account = &audited{}
		a.accounts[id] = account
	}
	return account
}

// closedKey takes a closed idempotency key in an account's stream. It has a version and moves no money.
func (a *audit) closedKey(r eventstore.Recorded) {
	account := a.account(r.Stream.ID)
	if r.Version() != account.version+1 {
		a.found("account %s version %d at position %d: the version before it is missing", r.Stream.ID, r.Version(), r.Position)
	}
	account.version = r.Version()
	a.balances[r.Stream.ID] = a.balances[r.Stream.ID].closedKey(r.Version())
}

// reckon folds an event into an account. It returns what is wrong with the event, or "".
func (a *audit) reckon(account *audited, event Event, version eventstore.Version) (fault string) {
	follows := version == account.version+1
	account.version = version
	if !follows {
		return "the version before it is missing"
	}
	if opened, ok := event.(Opened); ok {
		return account.open(opened)
	}
	var moved, told money.Amount
	switch e := event.(type) {
	case Deposited:
		moved, told, fault = e.Amount, e.Balance, account.booked(e.Row, e.Date, e.Amount, false)
	case Withdrawn:
		moved, told, fault = -e.Amount, e.Balance, account.booked(e.Row, e.Date, e.Amount, true)
	case TransferredOut:
		moved, told = -e.Amount, e.Balance
	case TransferredIn:
		moved, told = e.Amount, e.Balance
	case Reserved:
		moved, told, fault = -e.Amount, e.Balance, account.reserve(e)
	case Confirmed:
		moved, told, fault = 0, e.Balance, account.settle(e.Order, e.Amount)
		account.paid = append(account.paid, e.Order)
	case Released:
		moved, told, fault = e.Amount, e.Balance, account.settle(e.Order, e.Amount)
	case Rounded:
		moved, told, account.rounded = e.Amount, e.Balance, true
	case Corrected:
		moved, told, account.repaired = e.Amount, e.Balance, true
	}
	reckoned := account.balance + moved
	a.sums.add(event, told-account.balance)
	account.balance = told // so that a fault is reported once
	switch {
	case fault != "":
		return fault
	case reckoned != told:
		return fmt.Sprintf("the balance is %s, by the amounts it should be %s", told, reckoned)
	case told < account.floor:
		return fmt.Sprintf("the balance is %s, the account may go down to %s", told, account.floor)
	}
	return ""
}

func (c *audited) open(e Opened) (fault string) {
	c.floor = -e.Overdraft
	again := c.opened
	c.opened = true
	switch {
	case again:
		return "opened again"
	case c.plan != nil && c.plan.opened != e:
		return fmt.Sprintf("opened as %+v, by the ledger it should be %+v", e, c.plan.opened)
	}
	return ""
}

// booked compares a booking with the next row of the ledger. Row 0 means that the booking has no row.
func (c *audited) booked(row int64, date string, amount money.Amount, debit bool) (fault string) {
	c.row = row
	switch {
	case row == 0 && len(c.bookings) > 0 && c.plan != nil:
		return "booked by hand before the ledger's last row"
	case row == 0:
		return ""
	case len(c.bookings) == 0:
		return fmt.Sprintf("row %d, but the ledger has no more rows for the account", row)
	}
	if want := c.bookings[0]; row != want.ID || date != want.Date || amount != want.Amount || debit != want.Debit {
		return fmt.Sprintf("row %d of %s, %s, debit %t; the ledger's next is row %d of %s, %s, debit %t",
			row, date, amount, debit, want.ID, want.Date, want.Amount, want.Debit)
	}
	return ""
}

// row compares the balance after a commit that booked a row with the balance in the ledger.
func (a *audit) row(account *audited, r eventstore.Recorded) {
	if len(account.bookings) == 0 {
		return // reported before
	}
	want := account.bookings[0]
	account.bookings = account.bookings[1:]
	account.last = account.balance
	switch {
	case account.faulty: // reported before
	case account.balance != want.Balance:
		a.found("account %s version %d at position %d: row %d of %s: the balance is %s, the bank's is %s",
			r.Stream.ID, r.Version(), r.Position, want.ID, want.Date, account.balance, want.Balance)
	case account.rounded != (want.Fit == ledger.Rounding) || account.repaired != (want.Fit == ledger.Discrepancy):
		a.found("account %s version %d at position %d: row %d of %s: a rounding or a correction is missing or too many",
			r.Stream.ID, r.Version(), r.Position, want.ID, want.Date)
	case account.repaired:
		a.listed++
		a.say("listed: account %s row %d of %s: the bank's balance %s is off by %s",
			r.Stream.ID, want.ID, want.Date, want.Balance, want.Difference)
	default:
		a.agree++
	}
}

// compareWithLedger reports rows that are missing in the log, and compares the sums.
func (a *audit) compareWithLedger(accounts []ledger.Account) {
	var have, want money.Amount
	for _, account := range accounts {
		audited := a.accounts[account.ID]
		for _, missing := range audited.bookings {
			a.found("account %s: row %d of %s was not booked", account.ID, missing.ID, missing.Date)
		}
		have += audited.last
		want += account.Last()
	}
	if a.sums.transit != 0 {
		a.found("transfers: %s went out and did not come in", a.sums.transit)
	}
	a.say("sum of all last balances: %s", have)
	if have != want {
		a.found("the ledger's last balances add up to %s", want)
	}
}
