package runner_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/guard"
	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/kv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWhatPassesIsToldFromWhatTheLogIsLike(t *testing.T) {
	unavailable := &jetstream.APIError{Code: 503, ErrorCode: 10008, Description: "JetStream system temporarily unavailable"}
	for _, passing := range []error{
		kv.ErrUnavailable, kv.ErrBatchTooLarge, eventstore.ErrUnavailable, fmt.Errorf("read: %w", unavailable), nats.ErrNoResponders,
		nats.ErrTimeout, runner.Unavailable(errors.New("no answer")),
	} {
		require.True(t, runner.Passing(passing), passing)
	}
	for _, final := range []error{
		nil, eventstore.ErrCorrupt, eventstore.ErrLogRewound, eventstore.ErrSettings, runner.ErrOtherStore, nats.ErrConnectionClosed,
		errors.Join(kv.ErrUnavailable, eventstore.ErrLogRewound), runner.Unavailable(eventstore.ErrNoPermission),
		fmt.Errorf("%w: %w", eventstore.ErrUnavailable, nats.ErrConnectionClosed), runner.Unavailable(nats.ErrConnectionClosed),
		fmt.Errorf("%w: %w", kv.ErrUnavailable, jsapi.ErrClosed),
		guard.Call(func() { panic(nats.ErrTimeout) }), &eventstore.ReadError{Reason: eventstore.ErrUndecodable, Err: nats.ErrTimeout},
		&kv.Error{Reason: kv.ErrEncode, Err: context.DeadlineExceeded}, &kv.Error{Reason: kv.ErrDecode, Err: nats.ErrTimeout},
	} {
		require.False(t, runner.Passing(final), final)
	}
}

func numbers(n int, end error) func(context.Context) iter.Seq2[int, error] {
	return func(context.Context) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := range n {
				if !yield(i, nil) {
					return
				}
			}
			if end != nil {
				yield(0, end)
			}
		}
	}
}

func TestAFeedSaysWhyItEnded(t *testing.T) {
	broken := errors.New("broken")
	for _, end := range []error{broken, nil} {
		feed := runner.Read(t.Context(), numbers(3, end), 1)
		var got []int
		for n := range feed.Items {
			got = append(got, n)
		}
		require.Equal(t, []int{0, 1, 2}, got)
		if end == nil {
			end = io.ErrUnexpectedEOF
		}
		require.ErrorIs(t, feed.Err(), end)
		feed.Stop()
	}
}

func TestAFeedThatIsStoppedLeavesNothingBehind(t *testing.T) {
	feed := runner.Read(t.Context(), numbers(1000, nil), 0)
	<-feed.Items
	feed.Stop()
	for range feed.Items {
		t.Log("it had read on")
	}
	require.ErrorIs(t, feed.Err(), context.Canceled)
}

func TestTextIsShortenedToWhatADocumentTakes(t *testing.T) {
	require.Equal(t, "short", runner.Shortened("short", 5))
	long := runner.Shortened(strings.Repeat("é", 5000), 2048)
	require.True(t, utf8.ValidString(long))
	require.Len(t, long, 2047, "without half of a letter")
	require.Equal(t, long, runner.Shortened(long, 2048))
	require.Equal(t, "caf\uFFFD", runner.Shortened("caf\xe9", 10))
}
