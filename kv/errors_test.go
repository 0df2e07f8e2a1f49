package kv_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/kv"
)

func TestErrorsSayWhatWhereAndWhatToDo(t *testing.T) {
	cause := errors.New("the cause")
	for text, err := range map[string]error{
		`kv: get docs/"42": no such document`:                                   &kv.Error{Op: "get", Bucket: "docs", Key: "42", Reason: kv.ErrNotFound},
		`kv: get docs/"42": the bucket is not available: the cause`:             &kv.Error{Op: "get", Bucket: "docs", Key: "42", Reason: kv.ErrUnavailable, Err: cause},
		`kv: close docs: the cause`:                                             &kv.Error{Op: "close", Bucket: "docs", Err: cause},
		`kv: get docs/"\u00e9\n": no such document`:                             &kv.Error{Op: "get", Bucket: "docs", Key: "é\n", Reason: kv.ErrNotFound},
		`kv: get docs/"` + strings.Repeat("x", 64) + `...": no such document`:   &kv.Error{Op: "get", Bucket: "docs", Key: strings.Repeat("x", 100), Reason: kv.ErrNotFound},
		`kv: create docs/"42": the document exists, at revision 7: read it and`: &kv.ConflictError{Op: "create", Bucket: "docs", Key: "42", Actual: 7},
		`kv: update docs/"42": expected revision 7, but there is no document`:   &kv.ConflictError{Op: "update", Bucket: "docs", Key: "42", Expected: 7},
		`kv: update docs/"42": expected revision 7, but it is at 8: read it`:    &kv.ConflictError{Op: "update", Bucket: "docs", Key: "42", Expected: 7, Actual: 8},
	} {
		require.True(t, strings.HasPrefix(err.Error(), text), "%s\n%s", text, err)
		require.Equal(t, strings.HasSuffix(text, "the cause"), errors.Is(err, cause), text)
	}
}

// The server may refuse what the client has checked, because settings change while programs run.
func TestWhatTheServerRefusesIsSaidOfEachKindOfWrite(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(*jetstream.StreamConfig)
		want    error
		timeout time.Duration // long if the error does not depend on it
	}{
		"too large": {func(c *jetstream.StreamConfig) { c.MaxMsgSize = 600 }, kv.ErrTooLarge, time.Minute},
		"full":      {func(c *jetstream.StreamConfig) { c.MaxBytes = 1000 }, kv.ErrFull, time.Minute},
		"sealed":    {func(c *jetstream.StreamConfig) { c.Sealed = true }, kv.ErrRefused, time.Minute},
		"gone":      {nil, kv.ErrNoBucket, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			js := eventstoretest.JetStream(t)
			b := open[string](t, js, "docs", &kv.Config{Timeout: test.timeout})
			stream, err := js.Stream(t.Context(), "KV_docs")
			require.NoError(t, err)
			if cfg := stream.CachedInfo().Config; test.change == nil {
				require.NoError(t, js.DeleteStream(t.Context(), "KV_docs"))
			} else {
				test.change(&cfg)
				_, err = js.UpdateStream(t.Context(), cfg)
				require.NoError(t, err)
			}
			value := strings.Repeat("x", 2000)
			_, err = b.Put(t.Context(), "a", value)
			require.ErrorIs(t, err, test.want)
			bulk := within(b).Bulk()
			require.NoError(t, bulk.Put(t.Context(), "a", value))
			require.ErrorIs(t, bulk.Flush(t.Context()), test.want)
			batch := b.Batch()
			batch.Put("a", value)
			batch.Put("b", value)
			_, err = batch.Commit(t.Context())
			require.ErrorIs(t, err, test.want)
		})
	}
}

func TestABulkEndsWithItsContext(t *testing.T) {
	proxy := eventstoretest.NewServer(t).Proxy(t)
	b := open[doc](t, proxy.JetStream(t), "docs", nil)
	proxy.Silence("$KV.docs.>")
	bulk := within(b).Bulk()
	require.NoError(t, bulk.Put(t.Context(), "a", doc{}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := bulk.Flush(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, err, bulk.Put(t.Context(), "b", doc{}))
	require.ErrorIs(t, within(b).Bulk().Put(t.Context(), "", doc{}), kv.ErrInvalidKey)
}
