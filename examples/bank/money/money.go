// Package money holds amounts as whole hundredths, never as floating-point numbers.
//
// An [Amount] is written as a decimal with two places ("12.50", "-0.05"), in JSON as a string. A text that cannot be
// held exactly is an error: more than two places, other characters than digits, or more hundredths than an int64
// holds.
//
// # Errors
//
// [Parse] returns an error that matches [ErrSyntax] or [ErrRange]. [Amount.Add] and [Amount.Sub] return false if the
// result does not fit.
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
	// ErrRange means that the text is a decimal that does not fit into an Amount.
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
		return 0, fmt.Errorf("money: %s: %w", quote(s), ErrRange) // the only error that digits can cause
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

// quote returns the text of a client, short and printable.
func quote(s string) string {
	const shown = 32
	if len(s) > shown {
		return fmt.Sprintf("%+q...", s[:shown])
	}
	return fmt.Sprintf("%+q", s)
}

// String returns the amount with two places.
func (a Amount) String() string {
	sign, n := "", uint64(a)
	if a < 0 {
		sign, n = "-", -n // correct for the smallest Amount, too
	}
	return fmt.Sprintf("%s%d.%02d", sign, n/100, n%100)
}

// MarshalText returns the String of the amount, for JSON and msgpack. It returns no error.
func (a Amount) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads an amount and fails like [Parse].
func (a *Amount) UnmarshalText(text []byte) (err error) {
	*a, err = Parse(string(text))
	return err
}

// Add returns a + b, and false if the sum does not fit.
func (a Amount) Add(b Amount) (Amount, bool) {
	sum := a + b
	return sum, (sum > a) == (b > 0)
}

// Sub returns a - b, and false if the difference does not fit.
func (a Amount) Sub(b Amount) (Amount, bool) {
	difference := a - b
	return difference, (difference < a) == (b > 0)
}

// Abs returns the amount without its sign. For the smallest Amount, which has no counterpart, it returns the largest.
func (a Amount) Abs() Amount {
	switch {
	case a == math.MinInt64:
		return math.MaxInt64
	case a < 0:
		return -a
	}
	return a
}
