package main

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/examples/bank/money"
)

func reservedFor(order string, amount, balance money.Amount) Reserved {
	return Reserved{Order: order, To: "YZ/1", Amount: amount, Balance: balance, Date: day}
}

func TestReservationsDecide(t *testing.T) {
	funded := append(opened(500), Deposited{Amount: 1000, Balance: 1000, Date: day})
	reserved := append(funded[:2:2], reservedFor("o1", 400, 600))
	paid := append(reserved[:3:3], Confirmed{Order: "o1", To: "YZ/1", Amount: 400, Balance: 600, Date: day})
	for name, c := range map[string]struct {
		given []Event
		when  aggregate.Command[Account, Event]
		then  []Event
		rule  Rule
	}{
		"a reservation takes":                     {funded, Reserve{Order: "o1", To: "YZ/1", Amount: 400, Text: "rent", Date: day}, []Event{Reserved{Order: "o1", To: "YZ/1", Amount: 400, Balance: 600, Date: day, Text: "rent"}}, ""},
		"a reservation may use the overdraft":     {funded, Reserve{Order: "o1", To: "YZ/1", Amount: 1500, Date: day}, []Event{reservedFor("o1", 1500, -500)}, ""},
		"a reservation may not exceed it":         {given: funded, when: Reserve{Order: "o1", Amount: 1501}, rule: RuleInsufficientFunds},
		"what is reserved cannot be withdrawn":    {given: reserved, when: Withdraw{Amount: 1101}, rule: RuleInsufficientFunds},
		"a second order reserves on top":          {reserved, Reserve{Order: "o2", To: "YZ/1", Amount: 1100, Date: day}, []Event{reservedFor("o2", 1100, -500)}, ""},
		"an order reserves once":                  {given: reserved, when: Reserve{Order: "o1", Amount: 1}, rule: RuleAlreadyReserved},
		"a reservation wants an account":          {when: Reserve{Order: "o1", Amount: 1}, rule: RuleNotOpen},
		"a reservation is above zero":             {given: funded, when: Reserve{Order: "o1"}, rule: RuleNotPositive},
		"a reservation has an order":              {given: funded, when: Reserve{Amount: 1}, rule: RuleInvalidOrder},
		"an order's name has no line breaks":      {given: funded, when: Reserve{Order: "o\n1", Amount: 1}, rule: RuleInvalidOrder},
		"a payee's name is bounded":               {given: funded, when: Reserve{Order: "o1", To: strings.Repeat("x", 141), Amount: 1}, rule: RuleInvalidOrder},
		"a reservation's text is bounded":         {given: funded, when: Reserve{Order: "o1", Amount: 1, Text: strings.Repeat("x", 141)}, rule: RuleInvalidText},
		"what is reserved is paid":                {reserved, Confirm{Order: "o1", Date: day}, []Event{Confirmed{Order: "o1", To: "YZ/1", Amount: 400, Balance: 600, Date: day}}, ""},
		"only what is reserved is paid":           {given: reserved, when: Confirm{Order: "o2"}, rule: RuleNotReserved},
		"what is paid is not paid again":          {given: paid, when: Confirm{Order: "o1"}, rule: RuleNotReserved},
		"what is reserved is given back":          {reserved, Release{Order: "o1", Date: day}, []Event{Released{Order: "o1", To: "YZ/1", Amount: 400, Balance: 1000, Date: day}}, ""},
		"what never was reserved is not":          {given: funded, when: Release{Order: "o1"}},
		"what is paid is not given back":          {given: paid, when: Release{Order: "o1"}},
		"nor on an account that never was opened": {when: Release{Order: "o1"}},
		"a deposit leaves room for what may come": {given: append(opened(0), Deposited{Balance: math.MaxInt64}, reservedFor("o1", 400, math.MaxInt64-400)), when: Deposit{Amount: 1}, rule: RuleOutOfRange},
	} {
		t.Run(name, func(t *testing.T) {
			var account Account
			for _, event := range c.given {
				account = account.Evolve(event)
			}
			events, err := c.when.Decide(account)
			if c.rule != "" {
				var rejection *RejectionError
				require.ErrorAs(t, err, &rejection)
				require.Equal(t, c.rule, rejection.Rule)
				require.Empty(t, events)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.then, events)
		})
	}
}

// Whatever is asked for in whatever order: what was in an account is in it, in flight or paid, and an account that others hold
// does not change below them.
func TestReservedMoneyIsInOnePlace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := money.Amount(rapid.Int64Range(0, 1000).Draw(t, "limit"))
		account := Account{}.Evolve(Opened{Owner: "Anna", Overdraft: limit})
		amount := rapid.Map(rapid.Int64Range(-10, 900), func(n int64) money.Amount { return money.Amount(n) })
		order := rapid.SampledFrom([]string{"a", "b", "c"})
		commands := rapid.SliceOf(rapid.OneOf(
			rapid.Map(amount, func(a money.Amount) aggregate.Command[Account, Event] { return Deposit{Amount: a} }),
			rapid.Map(amount, func(a money.Amount) aggregate.Command[Account, Event] { return Withdraw{Amount: a} }),
			rapid.Custom(func(t *rapid.T) aggregate.Command[Account, Event] {
				return Reserve{Order: order.Draw(t, "order"), Amount: amount.Draw(t, "amount")}
			}),
			rapid.Map(order, func(o string) aggregate.Command[Account, Event] { return Confirm{Order: o} }),
			rapid.Map(order, func(o string) aggregate.Command[Account, Event] { return Release{Order: o} }),
		)).Draw(t, "commands")
		var moved, paid money.Amount
		flight := make(map[string]money.Amount)
		for _, command := range commands {
			events, err := command.Decide(account)
			if err != nil {
				require.Empty(t, events)
				continue
			}
			for _, event := range events {
				before := account.Clone()
				after := account.Evolve(event)
				require.Equal(t, before, account)
				account = after
				switch e := event.(type) {
				case Deposited:
					moved += e.Amount
				case Withdrawn:
					moved -= e.Amount
				case Reserved:
					require.NotContains(t, flight, e.Order)
					flight[e.Order] = e.Amount
				case Confirmed:
					require.Equal(t, flight[e.Order], e.Amount)
					paid += e.Amount
					delete(flight, e.Order)
				case Released:
					require.Equal(t, flight[e.Order], e.Amount)
					delete(flight, e.Order)
				}
			}
			inFlight := money.Amount(0)
			for _, amount := range flight {
				inFlight += amount
			}
			require.Equal(t, moved, account.Balance+inFlight+paid)
			require.Equal(t, account.Balance+inFlight, account.whole())
			require.Len(t, account.Reservations, len(flight))
			require.GreaterOrEqual(t, account.Balance, -limit)
		}
	})
}

func TestACopyOfAnAccountSharesNothing(t *testing.T) {
	account := Account{Reservations: []Reservation{{Order: "o1", Amount: 1}}}
	account.Clone().Reservations[0].Amount = 2
	require.Equal(t, money.Amount(1), account.Reservations[0].Amount)
}

func TestTheFirstAnswerCounts(t *testing.T) {
	yes, no := GiveAnswer{Accepted: true, Reference: "r1"}, GiveAnswer{Reason: "unknown account"}
	events, err := yes.Decide(Answer{})
	require.NoError(t, err)
	require.Equal(t, []AnswerEvent{PaymentAccepted{Reference: "r1"}}, events)
	state := Answer{}.Evolve(events[0])
	events, err = GiveAnswer{Accepted: true, Reference: "r2"}.Decide(state)
	require.NoError(t, err)
	require.Empty(t, events, "the same again")
	_, err = no.Decide(state)
	var rejection *RejectionError
	require.ErrorAs(t, err, &rejection)
	require.Equal(t, RuleAlreadyAnswered, rejection.Rule)

	events, err = no.Decide(Answer{})
	require.NoError(t, err)
	require.Equal(t, []AnswerEvent{PaymentRefused{Reason: "unknown account"}}, events)
	_, err = yes.Decide(Answer{}.Evolve(events[0]))
	require.ErrorAs(t, err, &rejection)
	_, err = GiveAnswer{Reason: "a\nb"}.Decide(Answer{})
	require.ErrorAs(t, err, &rejection)
	require.Equal(t, RuleInvalidText, rejection.Rule)
}
