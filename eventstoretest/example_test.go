package eventstoretest_test

import (
	"fmt"

	"github.com/runnel-go/runnel/eventstoretest"
)

// A proxy makes a server look older than it is: proxy.RewriteInfo(eventstoretest.ServerVersion("2.14.3")).
func ExampleServerVersion() {
	rewrite := eventstoretest.ServerVersion("2.14.3")
	fmt.Printf("%s\n", rewrite([]byte(`{"version":"2.15.2"}`)))
	// Output: {"version":"2.14.3"}
}
