package main

import (
	"fmt"
	"strings"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/runnel-go/runnel/examples/bank/money"
)

// fold is what the log says, computed by this program alone.
type fold struct {
	end      uint64
	accounts map[string]*account
	entries  map[string]entry          // of statements, by account.version
	turnover map[string]turnover       // by day.kind
	payments map[string]string         // the type of each payment's last event
	keys     map[string][]uint64       // the positions of each client's key
	versions map[string]uint64         // of each stream
	flight   map[string]money.Amount   // by order
	orders   map[string]map[string]int // how often each order has each type of event
	paid     map[string]money.Amount   // by order
	faults   []string
}

// account is an account as the view of balances shows it.
type account struct {
	ID       string       `json:"id"`
	Balance  money.Amount `json:"balance"`
	Reserved money.Amount `json:"reserved,omitzero"`
	Version  uint64       `json:"version"`
}

// entry is a line of a statement.
type entry struct {
	Account string       `json:"account"`
	Version uint64       `json:"version"`
	Kind    string       `json:"kind"`
	Amount  money.Amount `json:"amount"`
	Balance money.Amount `json:"balance"`
}

// turnover is what happened in one way on one day.
type turnover struct {
	Day    string       `json:"day"`
	Kind   string       `json:"kind"`
	Count  int64        `json:"count"`
	Amount money.Amount `json:"amount"`
}

// booking has the fields of all events of accounts.
type booking struct {
	Amount, Balance money.Amount
	Date, Order     string
}

// signs say what each kind of event does to the balance.
var signs = map[string]money.Amount{
	"opened": 0, "deposited": 1, "withdrawn": -1, "transferred-out": -1, "transferred-in": 1, "reserved": -1, "confirmed": 0, "released": 1,
}

// clientKey begins the keys of clients.
const clientKey = "client/"

func foldLog(log []message) *fold {
	f := &fold{
		accounts: make(map[string]*account), entries: make(map[string]entry), turnover: make(map[string]turnover),
		payments: make(map[string]string), keys: make(map[string][]uint64), versions: make(map[string]uint64),
		flight: make(map[string]money.Amount), orders: make(map[string]map[string]int), paid: make(map[string]money.Amount),
	}
	for i := range log {
		f.message(&log[i])
	}
	return f
}

func (f *fold) faultf(format string, args ...any) {
	f.faults = append(f.faults, fmt.Sprintf(format, args...))
}

func (f *fold) message(m *message) {
	f.end = m.position
	if m.guard() {
		return
	}
	stream := m.category + "/" + m.id
	if m.First != f.versions[stream]+1 {
		f.faultf("%s goes on at version %d after version %d, at position %d", stream, m.First, f.versions[stream], m.position)
	}
	f.versions[stream] = m.First + uint64(len(m.Events)) - 1
	if key, ok := strings.CutPrefix(m.Key, clientKey); ok {
		f.keys[key] = append(f.keys[key], m.position)
	}
	for i, e := range m.Events {
		switch m.category {
		case "account":
			f.booked(m, e, m.First+uint64(i))
		case "payment":
			f.payments[m.id] = e.Type
		}
	}
}

// booked takes an event of an account.
func (f *fold) booked(m *message, e event, version uint64) {
	a := f.accounts[m.id]
	if a == nil {
		a = &account{ID: m.id}
		f.accounts[m.id] = a
	}
	a.Version = version
	kind, ok := strings.CutPrefix(e.Type, "account.")
	if !ok {
		return // a closed key, which moves nothing
	}
	sign, known := signs[kind]
	var b booking
	if err := msgpack.Unmarshal(e.Data, &b); err != nil || !known {
		f.faultf("position %d: %s: %v", m.position, e.Type, err)
		return
	}
	a.Balance += sign * b.Amount
	if kind != "opened" && a.Balance != b.Balance {
		f.faultf("account %s version %d: the event says balance %s, the sum is %s", m.id, version, b.Balance, a.Balance)
	}
	f.order(a, kind, b)
	f.entries[fmt.Sprintf("%s.%d", m.id, version)] = entry{Account: m.id, Version: version, Kind: kind, Amount: b.Amount, Balance: a.Balance}
	if kind != "opened" {
		day := f.turnover[b.Date+"."+kind]
		f.turnover[b.Date+"."+kind] = turnover{Day: b.Date, Kind: kind, Count: day.Count + 1, Amount: day.Amount + b.Amount}
	}
}

// order follows the money of a payment: reserved once, and then either confirmed once or released once.
func (f *fold) order(a *account, kind string, b booking) {
	if b.Order == "" {
		return
	}
	of := f.orders[b.Order]
	if of == nil {
		of = make(map[string]int)
		f.orders[b.Order] = of
	}
	of[kind]++
	switch kind {
	case "reserved":
		a.Reserved += b.Amount
		f.flight[b.Order] += b.Amount
	case "confirmed":
		a.Reserved -= b.Amount
		f.flight[b.Order] -= b.Amount
		f.paid[b.Order] += b.Amount
	case "released":
		a.Reserved -= b.Amount
		f.flight[b.Order] -= b.Amount
	}
	if of[kind] > 1 || of["confirmed"]+of["released"] > of["reserved"] {
		f.faultf("order %s: %v", b.Order, of)
	}
}

// amountAt returns the amount of the first event at a position, as a client sends amounts.
func amountAt(log []message, position uint64) string {
	var b booking
	if position == 0 || position > uint64(len(log)) || msgpack.Unmarshal(log[position-1].Events[0].Data, &b) != nil {
		return ""
	}
	return b.Amount.String()
}
