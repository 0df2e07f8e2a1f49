package ledger

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/runnel-go/runnel/examples/bank/money"
)

const (
	ordersFile   = "order.asc"
	ordersHeader = "order_id;account_id;bank_to;account_to;amount;k_symbol"
)

// Order is a standing order: an account pays an account at another bank, again and again.
type Order struct {
	ID      int64        // order_id, unique and above 0
	Account string       // account_id
	Opened  string       // the date at which the account was opened, "1993-01-31"
	Bank    string       // the other bank, "YZ"
	To      string       // the account there, "62457513"
	Amount  money.Amount // above 0
	Text    string       // what for, in English; "" if it is not known
}

// ReadOrders returns the standing orders of the ledger in a directory, in the order of the file. It fails like
// [Read].
func ReadOrders(fsys fs.FS) ([]Order, error) {
	opened, err := readAccounts(fsys)
	if err != nil {
		return nil, err
	}
	var orders []Order
	seen := make(map[int64]bool)
	err = eachLine(fsys, ordersFile, ordersHeader, func(fields []string) error {
		order, err := parseOrder(fields)
		if err != nil {
			return err
		}
		var known bool
		switch order.Opened, known = opened[order.Account]; {
		case !known:
			return fmt.Errorf("account %s is not in %s", order.Account, accountsFile)
		case seen[order.ID]:
			return fmt.Errorf("order_id %d is listed twice", order.ID)
		}
		seen[order.ID] = true
		orders = append(orders, order)
		return nil
	})
	return orders, err
}

// parseOrder reads one line of order.asc.
func parseOrder(fields []string) (o Order, err error) {
	if o.ID, err = strconv.ParseInt(fields[0], 10, 64); err != nil || o.ID <= 0 {
		return Order{}, fmt.Errorf("order_id %q is not a number above 0", fields[0])
	}
	if o.Account, err = parseID(fields[1]); err != nil {
		return Order{}, err
	}
	if o.Bank, o.To = strings.TrimSpace(fields[2]), strings.TrimSpace(fields[3]); o.Bank == "" || o.To == "" {
		return Order{}, fmt.Errorf("bank_to %q and account_to %q must both say something", fields[2], fields[3])
	}
	if o.Amount, err = money.Parse(fields[4]); err != nil {
		return Order{}, fmt.Errorf("amount: %w", err)
	}
	if o.Amount <= 0 || o.Amount > maxAmount {
		return Order{}, fmt.Errorf("amount %s is not above zero, or above %s", o.Amount, maxAmount)
	}
	o.Text = purpose("", strings.TrimSpace(fields[5]))
	return o, nil
}
