package ledger

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/runnel-go/runnel/examples/bank/money"
)

// Row is one transaction as the bank listed it.
type Row struct {
	ID      int64        // trans_id, unique and above 0
	Account string       // account_id
	Date    string       // "1993-01-31"
	Debit   bool         // money went out
	Amount  money.Amount // above 0
	Balance money.Amount // after the transaction, as the bank computed it
	Text    string       // what for, in English
	Other   string       // the other bank and account of a transfer, "YZ/62457513", or ""
}

// signed returns the amount as it moves the balance.
func (r Row) signed() money.Amount {
	if r.Debit {
		return -r.Amount
	}
	return r.Amount
}

// Description returns what the transaction was for, and with whom.
func (r Row) Description() string {
	if r.Other == "" {
		return r.Text
	}
	return r.Text + ", " + r.Other
}

const rowFields = 10

// parseRow reads one line of trans.asc.
func parseRow(fields []string) (Row, error) {
	if len(fields) != rowFields {
		return Row{}, fmt.Errorf("%d fields, want %d", len(fields), rowFields)
	}
	var (
		r   Row
		err error
	)
	if r.ID, err = strconv.ParseInt(fields[0], 10, 64); err != nil || r.ID <= 0 {
		return Row{}, fmt.Errorf("trans_id %q is not a number above 0", fields[0])
	}
	if r.Account, err = parseID(fields[1]); err != nil {
		return Row{}, err
	}
	if r.Date, err = parseDate(fields[2]); err != nil {
		return Row{}, err
	}
	if r.Debit, err = parseType(fields[3]); err != nil {
		return Row{}, err
	}
	if r.Amount, err = money.Parse(fields[5]); err != nil {
		return Row{}, fmt.Errorf("amount: %w", err)
	}
	if r.Amount <= 0 {
		return Row{}, fmt.Errorf("amount %s is not above zero", r.Amount)
	}
	if r.Balance, err = money.Parse(fields[6]); err != nil {
		return Row{}, fmt.Errorf("balance: %w", err)
	}
	r.Text = purpose(fields[4], strings.TrimSpace(fields[7]))
	if bank, account := strings.TrimSpace(fields[8]), strings.TrimSpace(fields[9]); bank != "" {
		r.Other = bank + "/" + account
	}
	return r, nil
}

func parseID(s string) (string, error) {
	if n, err := strconv.ParseUint(s, 10, 32); err != nil || strconv.FormatUint(n, 10) != s {
		return "", fmt.Errorf("account_id %q is not a plain number", s)
	}
	return s, nil
}

func parseDate(s string) (string, error) {
	day, err := time.Parse("20060102", "19"+s)
	if err != nil {
		return "", fmt.Errorf("date %q is not YYMMDD: %w", s, err)
	}
	return day.Format(time.DateOnly), nil
}

func parseType(s string) (debit bool, err error) {
	switch s {
	case "PRIJEM":
		return false, nil
	case "VYDAJ", "VYBER":
		return true, nil
	}
	return false, fmt.Errorf("type %q is not PRIJEM, VYDAJ or VYBER", s)
}

// purpose returns in English what a transaction was for: its symbol if the table has it, else its operation. It
// returns words that are not in the table as they are.
func purpose(operation, symbol string) string {
	for _, word := range []string{symbol, operation} {
		if english, ok := english(word); ok {
			return english
		}
	}
	return strings.TrimSpace(operation + " " + symbol)
}

func english(word string) (string, bool) {
	switch word {
	case "UROK":
		return "interest", true
	case "SANKC. UROK":
		return "penalty interest", true
	case "SLUZBY":
		return "fee", true
	case "SIPO":
		return "household", true
	case "DUCHOD":
		return "pension", true
	case "POJISTNE":
		return "insurance", true
	case "LEASING":
		return "leasing", true
	case "UVER":
		return "loan", true
	case "VKLAD":
		return "cash in", true
	case "VYBER":
		return "cash out", true
	case "VYBER KARTOU":
		return "card", true
	case "PREVOD Z UCTU":
		return "transfer in", true
	case "PREVOD NA UCET":
		return "transfer out", true
	}
	return "", false
}
