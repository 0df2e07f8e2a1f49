package eventstore

import (
	"context"
	"errors"
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

// drawnEvents are values of one drawn type.
type drawnEvents struct {
	of     reflect.Type
	values []Event
}

// drawEvents draws a type of events and some values of it. Such a type is an Event by an interface that it embeds and
// that holds nothing: reflection makes no methods, and a store asks for the name of a type only when it is opened.
func drawEvents(rt *rapid.T) drawnEvents {
	fields := []reflect.StructField{{Name: "Event", Type: reflect.TypeFor[Event](), Anonymous: true, Tag: `json:"-" msgpack:"-"`}}
	for f := range drawnTypes.Struct(rt, 3).Fields() {
		fields = append(fields, f)
	}
	drawn := drawnEvents{of: reflect.StructOf(fields)}
	for range 3 {
		value := reflect.New(drawn.of).Elem()
		drawnTypes.Fill(rt, value, 4)
		drawn.values = append(drawn.values, value.Interface().(Event))
	}
	return drawn
}

func TestDrawnEventsAreTheSameLiveAndLoadedAndReplayed(t *testing.T) {
	js := eventstoretest.JetStream(t)
	for _, codec := range []Codec{Msgpack, JSON} {
		t.Run(string(codec), func(t *testing.T) {
			proptest.Runs(t, 20)
			types, stored, refused := 0, 0, 0
			rapid.Check(t, func(rt *rapid.T) {
				var known []drawnEvents
				for range proptest.Volume(10, 50) {
					if drawn := drawEvents(rt); takes(codec, drawn.of) {
						known = append(known, drawn)
					}
				}
				writer, reader := openDrawn(rt, js, codec, types, known), openDrawn(rt, js, codec, types, known)
				defer func() { require.NoError(rt, errors.Join(writer.Close(), reader.Close())) }()
				for _, drawn := range known {
					types++
					kept := keepDrawn(t.Context(), rt, StreamID{Category: "drawn", ID: fmt.Sprint(types)}, drawn.values, writer, reader)
					stored, refused = stored+kept, refused+len(drawn.values)-kept
				}
			})
			require.Positive(t, stored)
			t.Logf("%d types; %d events stored, %d refused", types, stored, refused)
		})
	}
}

// takes reports whether a codec takes a type. It refuses those whose values would be lost.
func takes(codec Codec, drawn reflect.Type) bool {
	_, err := codec.format().Of(drawn)
	return err == nil
}

// openDrawn opens a store, and makes drawn types known to it before it is used. The names count on from a number.
func openDrawn(rt *rapid.T, js jetstream.JetStream, codec Codec, from int, known []drawnEvents) *Store {
	store, err := Open(context.Background(), js, "drawn-"+string(codec), nil, &Config{Codec: codec})
	require.NoError(rt, err)
	for i, drawn := range known {
		shape, err := codec.format().Of(drawn.of)
		require.NoError(rt, err)
		store.decoder.registry.put(drawn.of, fmt.Sprintf("drawn.%d", from+i), shape)
	}
	return store
}

// keepDrawn appends events to a new stream, while a live reader waits for them, and compares what the two stores have
// of them. It returns how many the codec did not refuse.
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
		require.Empty(rt, drawnTypes.Lost(reflect.ValueOf(event), reflect.ValueOf(loaded[i]), string(writer.decoder.registry.codec), "event"), "%#v: %#v", event, loaded[i])
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
