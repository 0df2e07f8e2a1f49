package ledger

import "github.com/runnel-go/runnel/examples/bank/money"

// Fit says how a row's balance follows from the one before.
type Fit int

// The three fits, from best to worst.
const (
	Exact       Fit = iota // to the hundredth
	Rounding               // the bank rounded by at most 0.10
	Discrepancy            // the balance does not follow
)

// maxRounding is the largest difference that counts as rounding.
const maxRounding money.Amount = 10

// Booking is a row at its place in the booking order.
type Booking struct {
	Row
	Fit        Fit
	Difference money.Amount // the bank's balance minus the computed one; 0 if the row fits
}

// Account is one account of the ledger.
type Account struct {
	ID       string
	Opened   string // date, "1993-01-31"
	Bookings []Booking
}

// Last returns the account's last balance, or 0 if it has no booking.
func (a Account) Last() money.Amount {
	if len(a.Bookings) == 0 {
		return 0
	}
	return a.Bookings[len(a.Bookings)-1].Balance
}

// Overdraft returns the smallest limit that allows everything that the bank allowed. It is how far below zero the
// account ever stood, before or after a rounding.
func (a Account) Overdraft() money.Amount {
	var lowest money.Amount
	for _, b := range a.Bookings {
		lowest = min(lowest, b.Balance, b.Balance-b.Difference)
	}
	return -lowest
}

// book returns the rows of one account in booking order. The days of the rows must be in order. book reorders the
// rows.
func book(rows []Row) []Booking {
	bookings := make([]Booking, 0, len(rows))
	var balance money.Amount
	for len(rows) > 0 {
		day := 1
		for day < len(rows) && rows[day].Date == rows[0].Date {
			day++
		}
		for today := rows[:day]; len(today) > 0; today = today[1:] {
			next, fit := pick(today, balance)
			row := today[next]
			copy(today[1:next+1], today[:next]) // the rows before it keep their order
			bookings = append(bookings, Booking{Row: row, Fit: fit, Difference: difference(row, balance)})
			balance = row.Balance
		}
		rows = rows[day:]
	}
	return bookings
}

// pick returns which of a day's rows the bank booked next, on top of a balance.
func pick(today []Row, balance money.Amount) (int, Fit) {
	rounded := -1
	for i, row := range today {
		switch off := difference(row, balance).Abs(); {
		case off == 0:
			return i, Exact
		case off <= maxRounding && rounded < 0:
			rounded = i
		}
	}
	if rounded >= 0 {
		return rounded, Rounding
	}
	return 0, Discrepancy
}

func difference(row Row, before money.Amount) money.Amount {
	return row.Balance - (before + row.signed())
}
