//go:build unix

package eventstoretest_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
)

// TestPackagesOnACluster runs the tests of other packages on a cluster of server processes. RUNNEL_TEST_PACKAGES holds
// the arguments for go test.
func TestPackagesOnACluster(t *testing.T) {
	packages := os.Getenv("RUNNEL_TEST_PACKAGES")
	if packages == "" {
		t.Skip("make test-cluster names the packages")
	}
	cluster := eventstoretest.NewProcessCluster(t, 3, "--accounts")
	test := exec.CommandContext(t.Context(), "go", append([]string{"test"}, strings.Fields(packages)...)...)
	test.Env = append(os.Environ(), "RUNNEL_TEST_CLUSTER="+strings.Join(urls(cluster), ","))
	test.Stdout, test.Stderr = os.Stdout, os.Stderr
	require.NoError(t, test.Run())
}
