package eventstore_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// noted embeds a time, whose methods then encode the whole struct.
type noted struct {
	time.Time
	Note string
}

func (noted) EventType() string { return "noted" }

// visited holds text, and a time.
type visited struct {
	Note string
	At   time.Time
}

func (visited) EventType() string { return "visited" }

// weight encodes itself by methods of its pointer.
type weight int64

func (w *weight) MarshalText() ([]byte, error) { return []byte(strings.Repeat("i", int(*w))), nil }
func (w *weight) UnmarshalText(text []byte) error {
	*w = weight(len(text))
	return nil
}

type weighed struct{ Weight weight }

func (weighed) EventType() string { return "weighed" }

type weighedAll struct{ Weights map[string]weight }

func (weighedAll) EventType() string { return "weighed.all" }

func codecs(t *testing.T, run func(t *testing.T, codec eventstore.Codec)) {
	for _, codec := range []eventstore.Codec{eventstore.Msgpack, eventstore.JSON} {
		t.Run(string(codec), func(t *testing.T) { run(t, codec) })
	}
}

func openFor(t *testing.T, js jetstream.JetStream, codec eventstore.Codec, events ...eventstore.Event) *eventstore.Store {
	t.Helper()
	store, err := eventstore.Open(t.Context(), js, "bank", events, &eventstore.Config{Codec: codec})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

func TestAnEventOfWhichTheCodecWouldLoseSomethingIsRefusedWhenTheStoreIsOpened(t *testing.T) {
	codecs(t, func(t *testing.T, codec eventstore.Codec) {
		js := eventstoretest.JetStream(t)
		for event, field := range map[eventstore.Event]string{noted{}: "noted.Note"} {
			_, err := eventstore.Open(t.Context(), js, "bank", []eventstore.Event{event}, &eventstore.Config{Codec: codec})
			require.ErrorIs(t, err, eventstore.ErrInvalidEvents)
			require.ErrorContains(t, err, field)
		}
		_, err := eventstore.Open(t.Context(), js, "bank", []eventstore.Event{weighedAll{}}, &eventstore.Config{Codec: codec})
		require.ErrorContains(t, err, "weighedAll.Weights[]: eventstore_test.weight encodes itself by a method of its pointer")
		_, err = js.Stream(t.Context(), "bank")
		require.Error(t, err, "nothing was made")
	})
}

// An old type is not written any more, so nothing more of it can be lost.
func TestAnOldEventOfWhichTheCodecLostSomethingIsStillRead(t *testing.T) {
	release(t, eventstoretest.JetStream(t), []eventstore.Event{deposited{}}, eventstore.Upcast(func(e noted) deposited { return deposited{e.Unix()} }))
}

func TestAnEventThatEncodesItselfByItsPointerComesBack(t *testing.T) {
	codecs(t, func(t *testing.T, codec eventstore.Codec) {
		store := openFor(t, eventstoretest.JetStream(t), codec, weighed{})
		_, err := store.Append(t.Context(), account("1"), eventstore.Head{}, weighed{3})
		require.NoError(t, err)
		for r, err := range store.Stream(t.Context(), account("1")) {
			require.NoError(t, err)
			require.Contains(t, string(r.Data()), "iii")
		}
		require.Equal(t, []eventstore.Event{weighed{3}}, decode(t, store.Stream(t.Context(), account("1"))))
	})
}

func TestAValueThatTheCodecCannotHoldIsRefusedBeforeItIsStored(t *testing.T) {
	store := openFor(t, eventstoretest.JetStream(t), eventstore.JSON, visited{})
	lmt := time.FixedZone("LMT", 57*60+44)
	for field, event := range map[string]visited{
		"visited.Note holds text that is not UTF-8":           {Note: "caf\xe9"},
		"visited.At is a time in a zone that is some seconds": {At: time.Date(1850, 1, 1, 0, 0, 0, 0, lmt)},
		"visited.At is a time outside of the years 0 to 9999": {At: time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		_, err := store.Append(t.Context(), account("1"), eventstore.Head{}, event)
		require.ErrorIs(t, err, eventstore.ErrRefused)
		require.ErrorContains(t, err, field)
	}
	end, err := store.End(t.Context())
	require.NoError(t, err)
	require.Zero(t, end)
}

// narrowed is an event whose number became smaller with a release.
type narrowed struct{ Amount int32 }

func (narrowed) EventType() string { return "account.deposited" }

func TestANumberThatDoesNotFitAnyMoreIsUndecodable(t *testing.T) {
	codecs(t, func(t *testing.T, codec eventstore.Codec) {
		js := eventstoretest.JetStream(t)
		wide := openFor(t, js, codec, events...)
		_, err := wide.Append(t.Context(), account("1"), eventstore.Head{}, deposited{1 << 31}, deposited{1<<31 - 1})
		require.NoError(t, err)
		narrow := openFor(t, js, codec, narrowed{})
		all, err := readAll(t, narrow)
		require.ErrorIs(t, err, eventstore.ErrUndecodable)
		require.ErrorContains(t, err, "2147483648")
		require.Equal(t, []eventstore.Event{narrowed{1<<31 - 1}}, all)
	})
}

// rated and its successor have a number that became smaller, and a list that became an array.
type rated struct {
	Rate  int64
	Marks []int64
}

func (rated) EventType() string { return "rated" }

type roughlyRated struct {
	Rate  float64
	Marks [2]int64
}

func (roughlyRated) EventType() string { return "rated" }

func TestWhatWouldBeRoundedOrCutIsUndecodable(t *testing.T) {
	codecs(t, func(t *testing.T, codec eventstore.Codec) {
		js := eventstoretest.JetStream(t)
		before := openFor(t, js, codec, rated{})
		_, err := before.Append(t.Context(), account("1"), eventstore.Head{}, rated{1<<53 + 1, []int64{1, 2}}, rated{1, []int64{1}},
			rated{2, []int64{1, 2, 3}}, rated{1 << 53, []int64{1, 2}})
		require.NoError(t, err)
		all, err := readAll(t, openFor(t, js, codec, roughlyRated{}))
		require.ErrorIs(t, err, eventstore.ErrUndecodable)
		require.ErrorContains(t, err, "roughlyRated.Rate: 9007199254740993 does not fit into a float64")
		require.ErrorContains(t, err, "roughlyRated.Marks: 1 elements do not fit into a [2]int64")
		require.ErrorContains(t, err, "roughlyRated.Marks: 3 elements do not fit into a [2]int64")
		require.Equal(t, []eventstore.Event{roughlyRated{1 << 53, [2]int64{1, 2}}}, all)
	})
}

type signature struct{ By string }

// signed has fields of a struct that is not exported, and fields that have nothing to say.
type signed struct {
	signature
	Amount int64
	_      struct{}
	cache  *int `json:"-" msgpack:"-"`
}

func (signed) EventType() string { return "signed" }

func TestFieldsOfAnEmbeddedStructThatIsNotExportedComeBack(t *testing.T) {
	codecs(t, func(t *testing.T, codec eventstore.Codec) {
		store := openFor(t, eventstoretest.JetStream(t), codec, signed{})
		_, err := store.Append(t.Context(), account("1"), eventstore.Head{}, signed{signature: signature{"anna"}, Amount: 5, cache: new(int)})
		require.NoError(t, err)
		require.Equal(t, []eventstore.Event{signed{signature: signature{"anna"}, Amount: 5}}, decode(t, store.Stream(t.Context(), account("1"))))
	})
}

// readAll returns the events that decode, and the errors of the others.
func readAll(t *testing.T, store *eventstore.Store) (all []eventstore.Event, failed error) {
	t.Helper()
	for recorded, err := range store.All(t.Context()) {
		require.NoError(t, err)
		decoded, err := recorded.Decode()
		failed = errors.Join(failed, err)
		all = append(all, decoded...)
	}
	return all, failed
}

// brittle reads what it writes, but for what an older release wrote.
type brittle struct{ Text string }

func (b brittle) MarshalText() ([]byte, error) { return []byte(b.Text), nil }
func (b *brittle) UnmarshalText(text []byte) error {
	b.Text = string(text[:1:1]) + string(text[1:])
	return nil
}

type broke struct{ What brittle }

func (broke) EventType() string { return "broke" }

func TestAPanicOfADecoderIsAnErrorOfTheEvent(t *testing.T) {
	store := openFor(t, eventstoretest.JetStream(t), eventstore.Msgpack, broke{})
	_, err := store.Append(t.Context(), account("1"), eventstore.Head{}, broke{}, broke{brittle{"ab"}})
	require.NoError(t, err)
	all, err := readAll(t, store)
	require.Equal(t, []eventstore.Event{broke{brittle{"ab"}}}, all, "the others are read")
	require.ErrorIs(t, err, eventstore.ErrUndecodable)
	require.ErrorContains(t, err, "panic: runtime error: slice bounds out of range")
}

func TestTimesAreReadInUTC(t *testing.T) {
	codecs(t, func(t *testing.T, codec eventstore.Codec) {
		store := openFor(t, eventstoretest.JetStream(t), codec, visited{})
		now := time.Now()
		_, err := store.Append(t.Context(), account("1"), eventstore.Head{}, visited{At: now.In(time.FixedZone("x", -3600))}, visited{At: now}, visited{})
		require.NoError(t, err)
		utc := now.Round(0).UTC()
		require.Equal(t, []eventstore.Event{visited{At: utc}, visited{At: utc}, visited{}}, decode(t, store.Stream(t.Context(), account("1"))))
	})
}
