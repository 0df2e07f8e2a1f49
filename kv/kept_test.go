package kv_test

import (
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/kv"
)

type forgetting struct {
	Owner   string
	balance int64
}

func TestADocumentOfWhichTheCodecWouldLoseSomethingIsRefused(t *testing.T) {
	js := eventstoretest.JetStream(t)
	for _, codec := range []kv.Codec{kv.JSON{}, kv.Msgpack{}} {
		cfg := &kv.Config{Codec: codec}
		require.NotZero(t, forgetting{balance: 5}.balance, "what would be lost")
		_, err := kv.Open[forgetting](t.Context(), js, "docs", cfg)
		require.ErrorIs(t, err, kv.ErrEncode)
		require.ErrorContains(t, err, "forgetting.balance is not exported")
		_, err = kv.Open[struct {
			time.Time
			Note string
		}](t.Context(), js, "docs", cfg)
		require.ErrorContains(t, err, ".Note would be lost")
		_, err = js.KeyValue(t.Context(), "docs")
		require.Error(t, err, "no bucket was made")

		b := open[string](t, js, "names-"+codec.Name(), cfg)
		_, err = kv.Beside[forgetting](b, inside.Single())
		require.ErrorIs(t, err, kv.ErrEncode)
		_, err = kv.Beside[map[string]forgetting](b, inside.Named("many"))
		require.ErrorContains(t, err, "[].balance is not exported")
	}
}

func TestADocumentThatEncodesItselfByItsPointerComesBack(t *testing.T) {
	js := eventstoretest.JetStream(t)
	for _, codec := range []kv.Codec{kv.JSON{}, kv.Msgpack{}} {
		b := open[big.Int](t, js, "sums-"+codec.Name(), &kv.Config{Codec: codec})
		sums := beside[struct{ Sum big.Int }](t, b, inside.Named("sum"))
		five := *big.NewInt(5)
		_, err := b.Put(t.Context(), "a", five)
		require.NoError(t, err)
		batch := b.Batch()
		batch.Put("b", five)
		join(batch, sums).Put("c", struct{ Sum big.Int }{five})
		_, err = batch.Commit(t.Context())
		require.NoError(t, err)
		for _, key := range []string{"a", "b"} {
			entry, err := b.Get(t.Context(), key)
			require.NoError(t, err)
			require.Equal(t, "5", entry.Value.String())
		}
		sum, err := sums.GetLeader(t.Context(), "c")
		require.NoError(t, err)
		require.Equal(t, "5", sum.Value.Sum.String())
	}
}

func TestTextThatJSONCannotHoldIsRefused(t *testing.T) {
	js := eventstoretest.JetStream(t)
	b := open[map[string]string](t, js, "texts", nil)
	for _, value := range []map[string]string{{"a": "caf\xe9"}, {"\xe9": ""}} {
		_, err := b.Put(t.Context(), "1", value)
		require.ErrorIs(t, err, kv.ErrEncode)
		require.ErrorContains(t, err, "holds text that is not UTF-8")
		batch := b.Batch()
		batch.Put("1", value)
		_, err = batch.Commit(t.Context())
		require.ErrorIs(t, err, kv.ErrEncode)
	}
	_, err := b.Get(t.Context(), "1")
	require.ErrorIs(t, err, kv.ErrNotFound)
	packed := open[string](t, js, "packed", &kv.Config{Codec: kv.Msgpack{}})
	_, err = packed.Put(t.Context(), "1", "caf\xe9")
	require.NoError(t, err)
	entry, err := packed.Get(t.Context(), "1")
	require.NoError(t, err)
	require.Equal(t, "caf\xe9", entry.Value)
}

func TestANumberThatDoesNotFitAnyMoreIsADecodeError(t *testing.T) {
	js := eventstoretest.JetStream(t)
	for _, codec := range []kv.Codec{kv.JSON{}, kv.Msgpack{}} {
		cfg := &kv.Config{Codec: codec}
		wide := open[map[int64]uint64](t, js, "numbers-"+codec.Name(), cfg)
		_, err := wide.Put(t.Context(), "key", map[int64]uint64{1 << 31: 1})
		require.NoError(t, err)
		_, err = wide.Put(t.Context(), "value", map[int64]uint64{1: 1 << 63})
		require.NoError(t, err)
		narrow := open[map[int32]int64](t, js, "numbers-"+codec.Name(), cfg)
		for _, key := range []string{"key", "value"} {
			_, err := narrow.Get(t.Context(), key)
			require.ErrorIs(t, err, kv.ErrDecode, key)
		}
	}
}

// brittle panics at what it did not write.
type brittle string

func (b brittle) MarshalText() ([]byte, error) { return []byte("b" + b), nil }
func (b *brittle) UnmarshalText(text []byte) error {
	*b = brittle(text[1:len(text):len(text)])
	return nil
}

func TestAPanicOfADecoderIsAnErrorOfTheDocument(t *testing.T) {
	js := eventstoretest.JetStream(t)
	b := open[brittle](t, js, "docs", &kv.Config{Codec: kv.Msgpack{}})
	_, err := js.Publish(t.Context(), "$KV.docs.1", []byte{0xa0}) // an empty text
	require.NoError(t, err)
	_, err = b.Get(t.Context(), "1")
	require.ErrorIs(t, err, kv.ErrDecode)
	require.ErrorContains(t, err, "panic: ")
	for _, err := range b.List(t.Context()) {
		require.ErrorIs(t, err, kv.ErrDecode)
	}
}

type embedding struct{ kv.JSON }

func TestACodecOfThisPackageIsCheckedInAnyForm(t *testing.T) {
	js := eventstoretest.JetStream(t)
	for _, codec := range []kv.Codec{&kv.JSON{}, (*kv.JSON)(nil), &kv.Msgpack{}, embedding{}, &embedding{}} {
		_, err := kv.Open[forgetting](t.Context(), js, "docs", &kv.Config{Codec: codec})
		require.ErrorIs(t, err, kv.ErrEncode, "%T", codec)
	}
	_, err := kv.Open[string](t.Context(), js, "docs", &kv.Config{Codec: embedding{}})
	require.ErrorContains(t, err, `kv_test.embedding has the name "json" of another one`)
	b := open[string](t, js, "docs", &kv.Config{Codec: &kv.JSON{}})
	_, err = b.Put(t.Context(), "1", "caf\xe9")
	require.ErrorIs(t, err, kv.ErrEncode)
}

func TestModifyReturnsWhatAReadWould(t *testing.T) {
	type note struct {
		At   time.Time
		Tags []string
	}
	js := eventstoretest.JetStream(t)
	for _, codec := range []kv.Codec{kv.JSON{}, kv.Msgpack{}} {
		b := open[note](t, js, "notes-"+codec.Name(), &kv.Config{Codec: codec})
		mine := note{At: time.Now().In(time.FixedZone("here", 3600)), Tags: []string{"a"}}
		stored, revision, err := b.Modify(t.Context(), "1", func(note, bool) (note, error) { return mine, nil })
		require.NoError(t, err)
		mine.Tags[0] = "changed later"
		entry, err := b.Get(t.Context(), "1")
		require.NoError(t, err)
		require.Equal(t, entry.Value, stored)
		require.Equal(t, entry.Revision, revision)
	}
}
