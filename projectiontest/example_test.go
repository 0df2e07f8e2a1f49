package projectiontest_test

import (
	"fmt"

	"github.com/runnel-go/runnel/projectiontest"
)

// A commit is printed as a test would write it.
func ExampleCommit() {
	commit := projectiontest.Commit{Stream: "order/1", Events: shopEvents[:1]}
	fmt.Println(commit)
	// Output: order/1: projectiontest_test.placed{}
}
