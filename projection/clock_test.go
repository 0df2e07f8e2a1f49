package projection_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

// serverTime is a time in an answer that the server's clock has made.
var serverTime = regexp.MustCompile(`("ts":\s?"|"time":\s?")([^"]*)`)

// The server's clock is an hour behind, and so are all times in its answers.
func TestAStatusDoesNotGoByTheLocalClock(t *testing.T) {
	store := openBetween(t, func(nc *nats.Conn, subject string, msg *nats.Msg) (answered bool) {
		if !strings.HasPrefix(subject, "STREAM.INFO.KV_bank_sums") && !strings.HasPrefix(subject, "STREAM.MSG.GET.KV_bank_sums") {
			return false
		}
		answer, err := nc.Request("$JS.API."+subject, msg.Data, 10*time.Second)
		if err != nil {
			return true // the test has ended
		}
		shifted := serverTime.ReplaceAllFunc(answer.Data, func(found []byte) []byte {
			parts := serverTime.FindSubmatch(found)
			at, err := time.Parse(time.RFC3339Nano, string(parts[2]))
			if err != nil {
				t.Errorf("a time in an answer: %v", err)
			}
			return at.Add(-time.Hour).AppendFormat(parts[1], time.RFC3339Nano)
		})
		_ = nc.Publish(msg.Reply, shifted) // the connection may be closed
		return true
	})
	view := sums(t, store, 1, quick)
	stop := run(t, view)
	require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "a", 1)))
	running := func() bool {
		status, err := view.Status(t.Context())
		require.NoError(t, err)
		require.Greater(t, time.Since(status.Beat), 50*time.Minute)
		return status.Running
	}
	eventually(t, running, "it runs")
	stop()
	eventually(t, func() bool { return !running() }, "it has ended")
}
