// Package defaults is the one home of the rule for the numbers of a Config: zero is the default, a positive number is
// taken as it is, and a negative number is refused.
package defaults

import (
	"fmt"
	"time"
)

// Set puts the default into a field that is zero. It returns an error that names the field if it is negative.
func Set[T int | int64 | time.Duration](field string, value *T, usual T) error {
	switch {
	case *value < 0:
		return fmt.Errorf("%s is %v: set a positive value, or 0 for the default of %v", field, *value, usual)
	case *value == 0:
		*value = usual
	}
	return nil
}
