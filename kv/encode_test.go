package kv_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/kv"
)

// No write stores a document that Encode refuses. Put and a batch store a document that Encode accepts.
func TestEncodeSaysWhatCanBeStored(t *testing.T) {
	type document struct {
		Text  string
		Ratio float64
	}
	bucket, err := kv.Open[document](t.Context(), eventstoretest.JetStream(t), "checked", nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, bucket.Close()) }()
	for _, c := range []struct {
		name, key string
		value     document
		is        error
	}{
		{"a document", "a", document{Text: "x"}, nil},
		{"no UTF-8", "a\xff", document{}, kv.ErrInvalidKey},
		{"a long key", strings.Repeat("k", 257), document{}, kv.ErrInvalidKey},
		{"no number", "a", document{Ratio: math.NaN()}, kv.ErrEncode},
		{"a large document", "a", document{Text: strings.Repeat("x", 2<<20)}, kv.ErrTooLarge},
	} {
		encoded, err := within(bucket).Encode(c.key, c.value)
		_, putErr := bucket.Put(t.Context(), c.key, c.value)
		batch := bucket.Batch()
		batch.Put(c.key, c.value)
		batch.Put("other", document{})
		_, batchErr := batch.Commit(t.Context())
		if c.is == nil {
			require.NoError(t, err, c.name)
			require.JSONEq(t, `{"Text":"x","Ratio":0}`, string(encoded))
			require.NoError(t, putErr, c.name)
			require.NoError(t, batchErr, c.name)
			batch := bucket.Batch()
			kv.PutEncoded(inside.Pass{}, batch, "encoded", encoded)
			_, err := batch.Commit(t.Context())
			require.NoError(t, err)
			stored, err := bucket.Get(t.Context(), "encoded")
			require.NoError(t, err)
			require.Equal(t, c.value, stored.Value)
			continue
		}
		require.ErrorIs(t, err, c.is, c.name)
		require.ErrorIs(t, putErr, c.is, c.name)
		require.ErrorIs(t, batchErr, c.is, c.name)
	}
}
