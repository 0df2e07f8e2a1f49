package main

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/examples/bank/ledger"
	"github.com/runnel-go/runnel/examples/bank/money"
)

const day = "2026-01-31"

func opened(overdraft money.Amount) []Event {
	return []Event{Opened{Owner: "Anna", Overdraft: overdraft, Date: day}}
}

func TestCommandsDecide(t *testing.T) {
	funded := append(opened(500), Deposited{Amount: 1000, Balance: 1000, Date: day})
	row := ledger.Row{ID: 9, Account: "7", Date: "1993-01-31", Debit: true, Amount: 200, Balance: 800, Text: "fee"}
	for name, c := range map[string]struct {
		given []Event
		when  aggregate.Command[Account, Event]
		then  []Event
		rule  Rule
	}{
		"an account is opened": {
			nil, Open{Owner: "Anna", Overdraft: 500, Date: day}, opened(500), "",
		},
		"an account is opened once":           {given: opened(0), when: Open{Owner: "Eve", Date: day}, rule: RuleAlreadyOpen},
		"an account has an owner":             {when: Open{Date: day}, rule: RuleInvalidOwner},
		"an owner's name is bounded":          {when: Open{Owner: strings.Repeat("ä", 101)}, rule: RuleInvalidOwner},
		"an owner's name has no line breaks":  {when: Open{Owner: "An\nna"}, rule: RuleInvalidOwner},
		"an overdraft limit is not below 0":   {when: Open{Owner: "Anna", Overdraft: -1}, rule: RuleNegativeOverdraft},
		"a deposit adds":                      {given: opened(0), when: Deposit{Amount: 5, Text: "x", Date: day}, then: []Event{Deposited{Amount: 5, Balance: 5, Date: day, Text: "x"}}},
		"a deposit wants an account":          {when: Deposit{Amount: 5}, rule: RuleNotOpen},
		"a deposit is above zero":             {given: opened(0), when: Deposit{Amount: 0}, rule: RuleNotPositive},
		"a deposit is not negative":           {given: opened(0), when: Deposit{Amount: -5}, rule: RuleNotPositive},
		"a deposit's text is bounded":         {given: opened(0), when: Deposit{Amount: 5, Text: strings.Repeat("x", 141)}, rule: RuleInvalidText},
		"a balance does not overflow":         {given: funded, when: Deposit{Amount: math.MaxInt64}, rule: RuleOutOfRange},
		"a withdrawal takes":                  {given: funded, when: Withdraw{Amount: 400, Date: day}, then: []Event{Withdrawn{Amount: 400, Balance: 600, Date: day}}},
		"a withdrawal may use the overdraft":  {given: funded, when: Withdraw{Amount: 1500, Date: day}, then: []Event{Withdrawn{Amount: 1500, Balance: -500, Date: day}}},
		"a withdrawal may not exceed it":      {given: funded, when: Withdraw{Amount: 1501}, rule: RuleInsufficientFunds},
		"a withdrawal does not underflow":     {given: append(opened(math.MaxInt64), Withdrawn{Balance: -5}), when: Withdraw{Amount: math.MaxInt64}, rule: RuleInsufficientFunds},
		"a withdrawal wants an account":       {when: Withdraw{Amount: 5}, rule: RuleNotOpen},
		"a transfer goes out":                 {given: funded, when: TransferOut{To: "b", Amount: 400, Date: day}, then: []Event{TransferredOut{To: "b", Amount: 400, Balance: 600, Date: day}}},
		"a transfer out needs funds":          {given: funded, when: TransferOut{To: "b", Amount: 1501}, rule: RuleInsufficientFunds},
		"a transfer comes in":                 {given: funded, when: TransferIn{From: "b", Amount: 400, Date: day}, then: []Event{TransferredIn{From: "b", Amount: 400, Balance: 1400, Date: day}}},
		"a transfer in wants an account":      {when: TransferIn{From: "b", Amount: 400}, rule: RuleNotOpen},
		"a row of the ledger is booked":       {given: funded, when: BookRow{Booking: ledger.Booking{Row: row}}, then: []Event{Withdrawn{Amount: 200, Balance: 800, Date: "1993-01-31", Text: "fee", Row: 9}}},
		"a rounded row brings a second event": {given: funded, when: BookRow{Booking: ledger.Booking{Row: row, Fit: ledger.Rounding, Difference: 4}}, then: []Event{Withdrawn{Amount: 200, Balance: 800, Date: "1993-01-31", Text: "fee", Row: 9}, Rounded{Amount: 4, Balance: 800, Date: "1993-01-31"}}},
		"a discrepancy brings a correction":   {given: funded, when: BookRow{Booking: ledger.Booking{Row: row, Fit: ledger.Discrepancy, Difference: 40}}, then: []Event{Withdrawn{Amount: 200, Balance: 800, Date: "1993-01-31", Text: "fee", Row: 9}, Corrected{Amount: 40, Balance: 800, Date: "1993-01-31"}}},
		"rows keep their order":               {given: funded, when: BookRow{Booking: ledger.Booking{Row: row}, After: 8}, rule: RuleRowOutOfOrder},
		"a row has to be admitted":            {given: opened(0), when: BookRow{Booking: ledger.Booking{Row: row}}, rule: RuleInsufficientFunds},
		"a row wants an account":              {when: BookRow{Booking: ledger.Booking{Row: row}}, rule: RuleNotOpen},
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
