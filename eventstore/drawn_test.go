package eventstore

import (
	"context"
	"fmt"
	"iter"
	"math/big"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/plain"
	"github.com/runnel-go/runnel/internal/proptest"
)

type (
	drawnNumber int32
	drawnText   string
	// drawnCents encodes itself by methods of its pointer.
	drawnCents int64
	// Price and Stay are embedded.
	Price struct {
		Amount   int64
		Currency drawnText
	}
	Stay struct {
		From time.Time
		To   *time.Time
	}
	drawnBase struct{ By string }
	// drawnBased embeds a struct that is not exported.
	drawnBased struct {
		drawnBase
		_     struct{}
		Cents drawnCents
	}
)

func (c *drawnCents) MarshalText() ([]byte, error) { return fmt.Append(nil, int64(*c), "c"), nil }
func (c *drawnCents) UnmarshalText(text []byte) error {
	_, err := fmt.Sscanf(string(text), "%dc", (*int64)(c))
	return err
}

// drawnTypes are what events of drawn types are made of.
var drawnTypes = proptest.Types{
	Written: []proptest.Written{
		{Type: reflect.TypeFor[drawnNumber]()},
		{Type: reflect.TypeFor[drawnText]()},
		{Type: reflect.TypeFor[drawnBased]()},
		{Type: reflect.TypeFor[drawnCents]()},
		{Type: reflect.TypeFor[Price]()},
		{Type: reflect.TypeFor[time.Duration]()},
		{Type: reflect.TypeFor[uuid.UUID](), Draw: func(t *rapid.T) any { return uuid.UUID{3: rapid.Byte().Draw(t, "uuid")} }},
		{Type: reflect.TypeFor[netip.Addr](), Draw: func(t *rapid.T) any {
			return rapid.SampledFrom([]netip.Addr{{}, netip.IPv4Unspecified(), netip.MustParseAddr("fe80::1%eth0")}).Draw(t, "addr")
		}},
		{Type: reflect.TypeFor[big.Int](), Draw: func(t *rapid.T) any { return *big.NewInt(rapid.Int64().Draw(t, "big")) }, Equal: func(a, b any) bool {
			one, other := a.(big.Int), b.(big.Int)
			return one.Cmp(&other) == 0
		}},
		{Type: reflect.TypeFor[url.URL](), Draw: func(t *rapid.T) any {
			return url.URL{Scheme: "http", Host: "a", Path: rapid.SampledFrom([]string{"", "/b"}).Draw(t, "path")}
		}, Equal: func(a, b any) bool { return reflect.DeepEqual(a, b) }},
	},
	Embedded: []reflect.Type{reflect.TypeFor[Price](), reflect.TypeFor[Stay]()},
}

// drawEvent draws a type of events, makes it known to stores, and returns some values of it. It returns none if the codec
// refuses the type, whose values would be lost. Such a type is an Event by an interface that it embeds and that holds
// nothing: reflection makes no methods, and a store asks for the name of a type only when it is opened.
func drawEvents(rt *rapid.T, name string, stores ...*Store) (given []Event) {
	fields := []reflect.StructField{{Name: "Event", Type: reflect.TypeFor[Event](), Anonymous: true, Tag: `json:"-" msgpack:"-"`}}
	for f := range drawnTypes.Struct(rt, 3).Fields() {
		fields = append(fields, f)
	}
	drawn := reflect.StructOf(fields)
	for _, store := range stores {
		shape, err := store.codec.format().Of(drawn)
		if err != nil {
			return nil
		}
		store.registry.put(drawn, name, shape)
	}
	for range 3 {
		value := reflect.New(drawn).Elem()
		drawnTypes.Fill(rt, value, 4)
		given = append(given, value.Interface().(Event))
	}
	return given
}

func TestDrawnEventsAreTheSameLiveAndLoadedAndReplayed(t *testing.T) {
	js := eventstoretest.JetStream(t)
	for _, codec := range []Codec{Msgpack, JSON} {
		t.Run(string(codec), func(t *testing.T) {
			writer, reader := openDrawn(t, js, codec), openDrawn(t, js, codec)
			proptest.Runs(t, 20)
			types, stored, refused := 0, 0, 0
			rapid.Check(t, func(rt *rapid.T) {
				for range proptest.Volume(10, 50) {
					given := drawEvents(rt, fmt.Sprintf("drawn.%d", types), writer, reader)
					if len(given) == 0 {
						continue
					}
					types++
					kept := keepDrawn(t.Context(), rt, StreamID{Category: "drawn", ID: fmt.Sprint(types)}, given, writer, reader)
					stored, refused = stored+kept, refused+len(given)-kept
				}
			})
			require.Positive(t, stored)
			t.Logf("%d types; %d events stored, %d refused", types, stored, refused)
		})
	}
}

func openDrawn(t *testing.T, js jetstream.JetStream, codec Codec) *Store {
	t.Helper()
	store, err := Open(t.Context(), js, "drawn-"+string(codec), nil, &Config{Codec: codec})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

// keepDrawn appends events to a new stream, while a live reader waits for them, and compares what the two stores have of
// them. It returns how many the codec did not refuse.
func keepDrawn(ctx context.Context, rt *rapid.T, stream StreamID, given []Event, writer, reader *Store) int {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	end, err := writer.End(ctx)
	require.NoError(rt, err)
	live, stop := iter.Pull2(reader.All(ctx, After(end), Live()))
	defer stop()
	var head Head
	var kept, seen []Event
	for _, event := range given {
		c, err := writer.Append(ctx, stream, head, event)
		if err != nil {
			require.ErrorIs(rt, err, ErrRefused)
			continue
		}
		head, kept = c.Head(), append(kept, event)
		seen = append(seen, decoded(rt, slices.Collect(c.Events())...)...) // what its writer is told
		recorded, err, _ := live()
		require.NoError(rt, err)
		seen = append(seen, decoded(rt, recorded)...)
	}
	history, err := writer.Load(ctx, stream)
	require.NoError(rt, err)
	var loaded []Event
	for _, c := range history.Commits {
		loaded = append(loaded, decoded(rt, slices.Collect(c.Events())...)...)
	}
	var replayed []Event
	for recorded, err := range reader.All(ctx, After(end)) {
		require.NoError(rt, err)
		replayed = append(replayed, decoded(rt, recorded)...)
	}
	require.Len(rt, loaded, len(kept))
	require.Len(rt, replayed, len(kept))
	for i, event := range kept {
		require.Empty(rt, drawnTypes.Lost(reflect.ValueOf(event), reflect.ValueOf(loaded[i]), string(writer.codec), "event"), "%#v: %#v", event, loaded[i])
		for how, other := range map[string]Event{"told": seen[2*i], "live": seen[2*i+1], "replayed": replayed[i]} {
			require.True(rt, reflect.DeepEqual(loaded[i], other) || plain.Equal(loaded[i], other), "loaded %#v, %s %#v", loaded[i], how, other)
		}
	}
	return len(kept)
}

func decoded(rt *rapid.T, recorded ...Recorded) (events []Event) {
	for _, r := range recorded {
		one, err := r.Decode()
		require.NoError(rt, err)
		events = append(events, one...)
	}
	return events
}
