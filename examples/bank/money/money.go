// Package money holds amounts as whole hundredths, never as floating-point numbers.
//
// An [Amount] is written as a decimal with two places ("12.50", "-0.05"), in JSON as a string. What cannot be held
// exactly is an error: more than two places, anything but digits, more than an int64 of hundredths.
//
// # Errors
//
// [Parse] gives an error that matches [ErrSyntax] or [ErrRange]. [Amount.Add] and [Amount.Sub] say by their second
// result whether the sum can be held.
//
// # Concurrency
//
// Amounts are plain values.
package money

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Amount is money in hundredths of the bank's only currency.
type Amount int64

var (
	// ErrSyntax means that the text is not a decimal with at most two places.
	ErrSyntax = errors.New(`an amount is digits with at most two decimals, such as "12.50"`)
	// ErrRange means that the text is a decimal that does not fit.
	ErrRange = errors.New("the amount is too large")
)

// Parse reads an amount: an optional minus sign, digits, and optionally a point with one or two digits. It returns an
// error that matches ErrSyntax or ErrRange.
func Parse(s string) (Amount, error) {
	digits, negative := strings.CutPrefix(s, "-")
	whole, fraction, point := strings.Cut(digits, ".")
	if !allDigits(whole) || point && (!allDigits(fraction) || len(fraction) > 2) {
		return 0, fmt.Errorf("money: %s: %w", quote(s), ErrSyntax)
	}
	hundredths := whole + fraction + "00"[len(fraction):]
	if negative {
		hundredths = "-" + hundredths
	}
	n, err := strconv.ParseInt(hundredths, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("money: %s: %w", quote(s), ErrRange) // digits can be wrong in no other way
	}
	return Amount(n), nil
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// quote keeps what a stranger sent short and printable.
func quote(s string) string {
	const shown = 32
	if len(s) > shown {
		return fmt.Sprintf("%+q...", s[:shown])
	}
	return fmt.Sprintf("%+q", s)
}

// String gives the amount with two places.
func (a Amount) String() string {
	sign, n := "", uint64(a)
	if a < 0 {
		sign, n = "-", -n // right for the smallest Amount too
	}
	return fmt.Sprintf("%s%d.%02d", sign, n/100, n%100)
}

// MarshalText makes JSON and msgpack hold the amount as its String.
func (a Amount) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText is [Parse].
func (a *Amount) UnmarshalText(text []byte) (err error) {
	*a, err = Parse(string(text))
	return err
}

// Add gives a + b, and false where that cannot be held.
func (a Amount) Add(b Amount) (Amount, bool) {
	sum := a + b
	return sum, (sum > a) == (b > 0)
}

// Sub gives a - b, and false where that cannot be held.
func (a Amount) Sub(b Amount) (Amount, bool) {
	difference := a - b
	return difference, (difference < a) == (b > 0)
}

// Abs gives the amount without its sign. The smallest Amount, which has no counterpart, gives the largest.
func (a Amount) Abs() Amount {
	switch {
	case a == math.MinInt64:
		return math.MaxInt64
	case a < 0:
		return -a
	}
	return a
}
