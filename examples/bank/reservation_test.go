package main

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

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

// Evolve may write into a state that has Clone, because the repository calls Clone. The Evolve of accounts does not
// write into it.
func TestAnAccountThatOthersHoldDoesNotChangeBelowThem(t *testing.T) {
	account := Account{Reservations: make([]Reservation, 0, 4)}
	for _, order := range []string{"o1", "o2", "o3"} {
		account = account.Evolve(Reserved{Order: order, Amount: 1})
	}
	before := account.Clone()
	for _, event := range []Event{Released{Order: "o1", Amount: 1}, Confirmed{Order: "o2"}, Reserved{Order: "o4", Amount: 1}} {
		account.Evolve(event)
		require.Equal(t, before, account, event.EventType())
	}
}
