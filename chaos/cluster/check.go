package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/examples/bank/money"
	"github.com/runnel-go/runnel/examples/bank/otherbank"
	"github.com/runnel-go/runnel/saga"
)

// check compares what the clients know with the log, and the log with the views and the other banks.
func (w *world) check(ctx context.Context) error {
	log, err := readLog(ctx, w.cluster)
	if err != nil {
		w.report.wrongf("readers", "%v", err)
		return nil
	}
	f := foldLog(log)
	for _, fault := range f.faults {
		w.report.wrongf("versions", "%s", fault)
	}
	w.report.commits = len(log)
	w.checkWrites(log, f)
	w.checkSums(f)
	books := make(map[string]otherbank.State)
	for _, e := range w.others.Books() {
		books[e.Payment.ID] = e.State
	}
	w.checkPayments(f, books)
	if err := w.checkReader(ctx, log); err != nil {
		w.report.wrongf("readers", "the toolkit's reader: %v", err)
	}
	for _, b := range w.instances() {
		if err := w.checkViews(ctx, b, f); err != nil {
			w.report.wrongf("views", "%s: %v", b.name, err)
		}
	}
	return nil
}

// checkWrites looks for each write in the log.
func (w *world) checkWrites(log []message, f *fold) {
	for _, write := range w.load.writes {
		where, copies := f.keys[write.key], write.copies
		if write.path == "/payments" {
			where, copies = nil, 1
			if _, ok := f.payments[write.key]; ok {
				where = []uint64{write.position} // a stream begins once
			}
		}
		switch write.outcome {
		case acknowledged:
			w.report.acknowledged++
			if len(where) < copies || write.path != "/payments" && !slices.Contains(where, write.position) || write.position > f.end {
				w.report.wrongf("lost", "%s %s was acknowledged at position %d after %d tries; the log, which ends at %d, has it at %v",
					write.key, write.path, write.position, write.tries, f.end, where)
			}
		case rejected:
			w.report.rejected++
			if len(where) > 0 {
				w.report.wrongf("ghost", "%s %s was rejected after %d tries with %s; the log has it at %v",
					write.key, write.path, write.tries, write.problem, where)
			}
		default:
			w.report.open++
		}
		if len(where) > copies || len(where) != 0 && len(where) != copies {
			w.report.wrongf("twice", "%s %s stands at %v, which should be %d positions", write.key, write.path, where, copies)
		}
		if len(where) == 2 && where[1] != where[0]+1 {
			w.report.wrongf("twice", "%s %s stands at %v, outside of a transaction", write.key, write.path, where)
		}
		for _, at := range where {
			if amount := amountAt(log, at); write.body["amount"] != "" && write.path != "/payments" && amount != write.body["amount"] {
				w.report.wrongf("twice", "%s %s at %d has amount %s, sent was %s", write.key, write.path, at, amount, write.body["amount"])
			}
		}
	}
}

// checkSums looks for money that appeared or disappeared.
func (w *world) checkSums(f *fold) {
	var have, flight, paid, in money.Amount
	for _, a := range f.accounts {
		have += a.Balance
	}
	for _, amount := range f.flight {
		flight += amount
	}
	for _, amount := range f.paid {
		paid += amount
	}
	for _, day := range f.turnover {
		switch day.Kind {
		case "deposited", "transferred-in":
			in += day.Amount
		case "withdrawn", "transferred-out":
			in -= day.Amount
		}
	}
	if have+flight+paid != in {
		w.report.wrongf("sums", "accounts %s + in flight %s + paid %s are not what came in and went out, %s", have, flight, paid, in)
	}
	if flight != 0 {
		w.report.wrongf("sums", "%s are in flight, and all payments have ended", flight)
	}
}

// checkPayments compares the payments with the books of the other banks.
func (w *world) checkPayments(f *fold, books map[string]otherbank.State) {
	for id, last := range f.payments {
		state := books[id]
		switch last {
		case "saga.completed":
			if state != otherbank.Paid || f.orders[id]["confirmed"] != 1 {
				w.report.wrongf("payments", "%s is completed; the other bank says %q, the account %v", id, state, f.orders[id])
			}
		case "saga.compensated":
			if state == otherbank.Paid || f.orders[id]["confirmed"] != 0 {
				w.report.wrongf("payments", "%s is given back; the other bank says %q, the account %v", id, state, f.orders[id])
			}
		default:
			w.report.wrongf("payments", "%s has not ended: its last event is %s", id, last)
		}
	}
}

// checkReader compares the toolkit's reader with the messages.
func (w *world) checkReader(ctx context.Context, log []message) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	store, err := eventstore.Open(ctx, w.cluster.js, logStream, saga.Events(), nil)
	if err != nil {
		return err
	}
	next := 0
	for r, err := range store.All(ctx) {
		if err != nil {
			return err
		}
		if r.Index > 0 {
			continue
		}
		for next < len(log) && log[next].guard() {
			next++
		}
		if next == len(log) {
			break // written since
		}
		m := &log[next]
		if uint64(r.Position) != m.position || r.Stream.Category != m.category || !bytes.Equal(r.ID[:], m.ID) || r.Key != m.Key || r.Len() != len(m.Events) {
			return fmt.Errorf("position %d of %s where the stream has position %d of %s/%s", r.Position, r.Stream, m.position, m.category, m.id)
		}
		next++
	}
	if next < len(log) {
		return fmt.Errorf("it ends at position %d, the stream at %d", log[next].position, len(log))
	}
	return store.Close()
}

// checkViews compares the views, as a bank shows them, with the fold of the log.
func (w *world) checkViews(ctx context.Context, b *instance, f *fold) error {
	balances, err := pages[account](ctx, w, b, f, "/accounts?limit=200", "accounts")
	if err != nil {
		return err
	}
	if len(balances) != len(f.accounts) {
		w.report.wrongf("views", "%s: %d balances, %d accounts", b.name, len(balances), len(f.accounts))
	}
	for _, have := range balances {
		if want := f.accounts[have.ID]; want == nil || have != *want {
			w.report.wrongf("views", "%s: balance %+v, by the log %+v", b.name, have, want)
		}
	}
	lines := 0
	for id := range f.accounts {
		entries, err := pages[entry](ctx, w, b, f, "/accounts/"+id+"/statement?limit=200", "entries")
		if err != nil {
			return err
		}
		lines += len(entries)
		for _, have := range entries {
			if want := f.entries[fmt.Sprintf("%s.%d", id, have.Version)]; have != want {
				w.report.wrongf("views", "%s: statement has %+v, by the log %+v", b.name, have, want)
			}
		}
	}
	if lines != len(f.entries) {
		w.report.wrongf("views", "%s: the statements have %d lines, the log %d", b.name, lines, len(f.entries))
	}
	return w.checkTurnover(ctx, b, f)
}

func (w *world) checkTurnover(ctx context.Context, b *instance, f *fold) error {
	days := make(map[string]bool)
	for _, t := range f.turnover {
		days[t.Day] = true
	}
	seen := 0
	for day := range days {
		kinds, err := pages[turnover](ctx, w, b, f, "/turnover/"+day, "kinds")
		if err != nil {
			return err
		}
		seen += len(kinds)
		for _, have := range kinds {
			have.Day = day
			if want := f.turnover[day+"."+have.Kind]; have != want {
				w.report.wrongf("views", "%s: turnover has %+v, by the log %+v", b.name, have, want)
			}
		}
	}
	if seen != len(f.turnover) {
		w.report.wrongf("views", "%s: %d kinds of turnover, by the log %d", b.name, seen, len(f.turnover))
	}
	return nil
}

// pages reads all pages of a list from a bank, at the end of the log.
func pages[T any](ctx context.Context, w *world, b *instance, f *fold, path, field string) (all []T, err error) {
	for path != "" {
		text, err := w.get(ctx, b, path, f.end)
		if err != nil {
			return nil, err
		}
		var page map[string]json.RawMessage
		if err := json.Unmarshal(text, &page); err != nil {
			return nil, err
		}
		var some []T
		if err := json.Unmarshal(page[field], &some); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, some...)
		path = ""
		if next := page["next"]; next != nil {
			if err := json.Unmarshal(next, &path); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// get reads a path at a position. It asks again for some time if the bank is not there yet.
func (w *world) get(ctx context.Context, b *instance, path string, position uint64) (text []byte, err error) {
	deadline := time.Now().Add(20 * time.Second)
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url()+path, nil)
		if err != nil {
			return nil, err
		}
		request.Header.Set("Position", strconv.FormatUint(position, 10))
		got, err := w.load.send(request)
		switch {
		case err == nil && got.status == http.StatusOK:
			return got.text, nil
		case err == nil:
			err = fmt.Errorf("%s: %d %s", path, got.status, got.text)
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return nil, err
		}
		pause(ctx, 100*time.Millisecond)
	}
}
