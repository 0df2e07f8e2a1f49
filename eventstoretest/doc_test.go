package eventstoretest_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
)

func TestStoredWithoutAnAnswer(t *testing.T) {
	srv := eventstoretest.NewServer(t)
	proxy := srv.Proxy(t)
	js := proxy.JetStream(t)
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"events.>"}})
	require.NoError(t, err)

	proxy.DropAcks(1)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = js.Publish(ctx, "events.a", []byte("hello"))
	require.ErrorIs(t, err, context.DeadlineExceeded)

	stream, err := js.Stream(t.Context(), "EVENTS")
	require.NoError(t, err)
	require.Equal(t, uint64(1), stream.CachedInfo().State.Msgs)
}

func TestTheTestInThePackageDocIsTheOneAbove(t *testing.T) {
	code, err := os.ReadFile("doc_test.go")
	require.NoError(t, err)
	_, code2, found := strings.Cut(string(code), "\nfunc TestStoredWithoutAnAnswer")
	require.True(t, found)
	body, _, found := strings.Cut(code2, "\n}\n")
	require.True(t, found)

	doc, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	var commented strings.Builder
	for line := range strings.Lines("func TestStoredWithoutAnAnswer" + body + "\n}\n") {
		if line == "\n" {
			commented.WriteString("//\n")
			continue
		}
		commented.WriteString("//\t" + line)
	}
	require.Contains(t, string(doc), commented.String())
}
