package aggregatetest_test

import (
	"fmt"
	"testing"

	"github.com/runnel-go/runnel/aggregatetest"
)

// printing is a test that prints why it fails, because an example has no test.
type printing struct{ testing.TB }

func (printing) Helper() {}

func (printing) Fatalf(format string, args ...any) { fmt.Printf(format+"\n", args...) }

func ExampleFor() {
	t := printing{} // in a test, its *testing.T

	aggregatetest.For(t, wallet{}).
		Given(earned{Amount: 100}).
		When(spend{Amount: 40}).
		Then(spent{Amount: 40}).
		ThenState(wallet{Held: 60})

	aggregatetest.For(t, wallet{}).
		Given(earned{Amount: 100}).
		When(spend{Amount: 101}).
		ThenError(errFunds)

	aggregatetest.For(t, wallet{}).
		Given(earned{Amount: 100}).
		When(spend{Amount: 30}).
		Then(spent{Amount: 40})
	// Output:
	// aggregatetest: the events are not as expected (- expected, + actual):
	// - spent{Amount: 40}
	// + spent{Amount: 30}
	// given
	// 	earned{Amount: 100}
	// when
	// 	spend{Amount: 30}
}
