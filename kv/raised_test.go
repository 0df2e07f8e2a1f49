package kv_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/kv"
)

// An operator follows the advice of ErrTooLarge while the program runs.
func TestALimitThatWasRaisedHolds(t *testing.T) {
	large := strings.Repeat("x", 2000)
	for name, write := range map[string]func(t *testing.T, b *kv.Bucket[string]) error{
		"put": func(t *testing.T, b *kv.Bucket[string]) error {
			t.Helper()
			_, err := b.Put(t.Context(), "a", large)
			return err
		},
		"batch": func(t *testing.T, b *kv.Bucket[string]) error {
			t.Helper()
			batch := b.Batch()
			batch.Put("a", large)
			batch.Put("b", large)
			_, err := batch.Commit(t.Context())
			return err
		},
		"bulk": func(t *testing.T, b *kv.Bucket[string]) error {
			t.Helper()
			bulk := within(b).Bulk()
			if err := bulk.Put(t.Context(), "a", large); err != nil {
				return err
			}
			return bulk.Flush(t.Context())
		},
	} {
		t.Run(name, func(t *testing.T) {
			js := eventstoretest.JetStream(t)
			_, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "docs", MaxValueSize: 1024})
			require.NoError(t, err)
			b := open[string](t, js, "docs", nil)
			require.ErrorIs(t, write(t, b), kv.ErrTooLarge)

			stream, err := js.Stream(t.Context(), "KV_docs")
			require.NoError(t, err)
			cfg := stream.CachedInfo().Config
			cfg.MaxMsgSize = 1 << 20
			_, err = js.UpdateStream(t.Context(), cfg)
			require.NoError(t, err)
			require.NoError(t, write(t, b), "max_msg_size was raised, as the error says")
		})
	}
}
