// Package defaults is the one home of the rules for the fields of a Config: zero is the default, what is possible is
// taken as it is, and everything else is refused. Its errors name the field, its value and what is allowed.
package defaults

import (
	"fmt"
	"slices"
	"time"
)

type number interface{ int | int64 | time.Duration }

// Of returns a copy of a Config, or the zero one for nil.
func Of[C any](cfg *C) C {
	var full C
	if cfg != nil {
		full = *cfg
	}
	return full
}

// Forever is what longer durations are cut to. So a program may set the longest duration there is, and its multiples
// and the times so long after now do not overflow.
const Forever = 10 * 365 * 24 * time.Hour

// Set puts the default into a field that is zero. It refuses a negative number.
func Set[T number](field string, value *T, usual T) error {
	switch {
	case *value < 0:
		return fmt.Errorf("%s is %v: set a positive value, or 0 for the default of %v", field, *value, usual)
	case *value == 0:
		*value = usual
	}
	if duration, ok := any(value).(*time.Duration); ok {
		*duration = min(*duration, Forever)
	}
	return nil
}

// SetWithin is Set for a field that has bounds.
func SetWithin[T number](field string, value *T, least, usual, most T) error {
	given := *value
	if err := Set(field, value, usual); err != nil {
		return err
	}
	if *value < least || *value > most {
		return fmt.Errorf("%s is %v: set %v to %v, or 0 for the default of %v", field, given, least, most, usual)
	}
	return nil
}

// SetOr is Set for a field that may also have one special value.
func SetOr[T number](field string, value *T, special, usual T) error {
	if *value == special {
		return nil
	}
	if err := Set(field, value, usual); err != nil {
		return fmt.Errorf("%w, or %v", err, special)
	}
	return nil
}

// NotNegative refuses a negative number in a field whose zero is not replaced here.
func NotNegative[T number](field string, value T) error {
	if value < 0 {
		return fmt.Errorf("%s is %v: set 0 or a positive value", field, value)
	}
	return nil
}

// Replicas refuses a number of replicas that no server takes, and leaves 0 as it is.
func Replicas(value int) error {
	if value < 0 || value > 5 {
		return fmt.Errorf("Replicas is %d: set 1 to 5, or 0 for the default", value)
	}
	return nil
}

// OneOf refuses a value that is not allowed.
func OneOf[T comparable](field string, value T, allowed ...T) error {
	if !slices.Contains(allowed, value) {
		return fmt.Errorf("%s is %#v: set one of %v", field, value, allowed)
	}
	return nil
}

// Ordered refuses a duration that is longer than another one that must be at least as long.
func Ordered(short string, value *time.Duration, long string, limit *time.Duration) error {
	if *value > *limit {
		return fmt.Errorf("%s is %v, and %s is %v: set %s to %s at least", short, *value, long, *limit, long, short)
	}
	return nil
}
