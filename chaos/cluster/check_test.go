package main

import (
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/runnel-go/runnel/examples/bank/money"
	"github.com/runnel-go/runnel/examples/bank/otherbank"
)

// booked returns a commit of one event of account a.
func booked(t *testing.T, position, version uint64, key, kind string, b booking) message {
	t.Helper()
	data, err := msgpack.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	m := message{position: position, category: "account", id: "a"}
	m.First, m.Events = version, []event{{Type: "account." + kind, Data: data}}
	if key != "" {
		m.Key = clientKey + key
	}
	return m
}

// soundLog is a log with nothing wrong in it: 5.00 come in, and 2.00 are paid to another bank.
func soundLog(t *testing.T) []message {
	t.Helper()
	saga := message{position: 5, category: "payment", id: "p"}
	saga.First, saga.Events = 1, []event{{Type: "saga.completed"}}
	return []message{
		booked(t, 1, 1, "k0", "opened", booking{}),
		booked(t, 2, 2, "k1", "deposited", booking{Amount: 500, Balance: 500}),
		booked(t, 3, 3, "", "reserved", booking{Amount: 200, Balance: 300, Order: "p"}),
		booked(t, 4, 4, "", "confirmed", booking{Amount: 200, Balance: 300, Order: "p"}),
		saga,
	}
}

func soundWrites() []*write {
	return []*write{
		{key: "k0", copies: 1, outcome: acknowledged, position: 1},
		{key: "k1", copies: 1, outcome: acknowledged, position: 2, body: map[string]string{"amount": "5.00"}},
		{key: "k2", copies: 1, outcome: rejected},
		{key: "k3", copies: 1},
		{key: "p", path: "/payments", outcome: acknowledged, position: 5},
	}
}

// found returns what the checks find in a log, for the writes of clients.
func found(t *testing.T, log []message, writes []*write, paid bool) *report {
	t.Helper()
	w := &world{report: &report{}, load: &load{writes: writes}}
	f := foldLog(log)
	for _, fault := range f.faults {
		w.report.wrongf("versions", "%s", fault)
	}
	books := map[string]otherbank.State{}
	if paid {
		books["p"] = otherbank.Paid
	}
	w.checkWrites(log, f)
	w.checkSums(f)
	w.checkPayments(f, books)
	return w.report
}

func TestASoundLogIsRight(t *testing.T) {
	if r := found(t, soundLog(t), soundWrites(), true); !r.ok() {
		t.Fatal(r.findings())
	}
}

func TestEachFaultOfTheLogIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		kind string
		harm func(log []message, writes []*write) []message
	}{
		"a write is missing":           {"lost", func(log []message, w []*write) []message { w[3].outcome = acknowledged; return log }},
		"a write is at another place":  {"lost", func(log []message, w []*write) []message { w[1].position = 3; return log }},
		"a payment is missing":         {"lost", func(log []message, _ []*write) []message { return log[:4] }},
		"a key stands twice":           {"twice", func(log []message, _ []*write) []message { log[2].Key = log[1].Key; return log }},
		"half of a transfer":           {"twice", func(log []message, w []*write) []message { w[1].copies = 2; return log }},
		"another amount":               {"twice", func(log []message, w []*write) []message { w[1].body["amount"] = "5.01"; return log }},
		"a rejected write":             {"ghost", func(log []message, w []*write) []message { w[1].outcome = rejected; return log }},
		"a version is missing":         {"versions", func(log []message, _ []*write) []message { log[2].First = 4; return log }},
		"a balance that is not a sum":  {"versions", func(log []message, _ []*write) []message { return append(log, again5(t)) }},
		"an order is confirmed twice":  {"versions", func(log []message, _ []*write) []message { return append(log, confirmed5(t)) }},
		"money stays in flight":        {"sums", func(log []message, _ []*write) []message { return append(log[:3:3], log[4]) }},
		"a payment that has not ended": {"payments", func(log []message, _ []*write) []message { log[4].Events[0].Type = "saga.stuck"; return log }},
	} {
		t.Run(name, func(t *testing.T) {
			log, writes := soundLog(t), soundWrites()
			log = c.harm(log, writes)
			if r := found(t, log, writes, true); r.count(c.kind) == 0 {
				t.Fatalf("nothing of kind %s: %s", c.kind, r.findings())
			}
		})
	}
	if r := found(t, soundLog(t), soundWrites(), false); r.count("payments") == 0 {
		t.Fatal("a payment is completed, and the other bank has not paid")
	}
}

func again5(t *testing.T) message {
	t.Helper()
	return booked(t, 6, 5, "", "deposited", booking{Amount: 100, Balance: 500})
}

func confirmed5(t *testing.T) message {
	t.Helper()
	return booked(t, 6, 5, "", "confirmed", booking{Amount: 200, Balance: 300, Order: "p"})
}

// A bank acknowledges a write every 100 ms for some time. It is ready after a second, and is asked again after 8.8 s.
func TestReadyIsComparedWithTheWrites(t *testing.T) {
	begin := time.Now()
	at := func(s float64) time.Time { return begin.Add(time.Duration(s * float64(time.Second))) }
	for name, c := range map[string]struct {
		writes [2]float64 // from, to
		ready  bool
		wrong  bool
	}{
		"ready, and writes go through":          {[2]float64{0, 10}, true, false},
		"not ready, and writes go through":      {[2]float64{0, 10}, false, true},
		"ready, and nothing goes through":       {[2]float64{0, 5}, true, true},
		"not ready, and nothing goes through":   {[2]float64{0, 5}, false, false},
		"not ready, and writes have just begun": {[2]float64{8, 10}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := &instance{name: "bank-1", firstStart: at(-10)}
			w := &world{report: &report{}, load: &load{}, looks: map[string][]look{"bank-1": {
				{sent: at(1), at: at(1), ready: true, came: true}, {sent: at(8.8), at: at(8.8), ready: c.ready, came: true},
			}}}
			for s := c.writes[0]; s < c.writes[1]; s += 0.1 {
				w.load.acks = append(w.load.acks, ack{bank: "bank-1", sent: at(s), at: at(s)})
			}
			w.checkReady(b, begin, at(10))
			if wrong := w.report.count("ready") > 0; wrong != c.wrong {
				t.Fatalf("wrong: %t, want %t: %s", wrong, c.wrong, w.report.findings())
			}
		})
	}
}

func TestAmountsAreReadAsClientsSendThem(t *testing.T) {
	if have := amountAt(soundLog(t), 2); have != money.Amount(500).String() {
		t.Fatal(have)
	}
}
