package eventstore_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// otherDeposited has the name of deposited and another shape.
type otherDeposited struct{ Amount string }

func (otherDeposited) EventType() string { return "account.deposited" }

type private struct{ amount int }

func (private) EventType() string { return "account.private" }

type function struct{ F func() }

func (function) EventType() string { return "account.function" }

type badName struct{}

func (badName) EventType() string { return "two words" }

type pointed struct{}

func (*pointed) EventType() string { return "account.pointed" }

func TestPrototypesThatCannotBeStoredAreRefusedAtOpen(t *testing.T) {
	js := eventstoretest.JetStream(t)
	for name, prototypes := range map[string][]eventstore.Event{
		"nil":                 {nil},
		"a nil pointer":       {(*deposited)(nil)},
		"an unexported field": {private{amount: 1}},
		"a function":          {function{}},
		"a name with a blank": {badName{}},
		"a pointer":           {&pointed{}},
		"one name for two":    {deposited{}, otherDeposited{}},
		"one type twice":      {deposited{}, deposited{}},
	} {
		_, err := eventstore.Open(t.Context(), js, "bank", prototypes, nil)
		require.ErrorIs(t, err, eventstore.ErrInvalidEvents, name)
	}
	_, err := eventstore.Open(t.Context(), js, "two.tokens", events, nil)
	require.ErrorIs(t, err, eventstore.ErrInvalidID)
	_, err = eventstore.Open(t.Context(), js, "acme_eu", events, nil)
	require.ErrorIs(t, err, eventstore.ErrInvalidID)
	require.ErrorContains(t, err, `use "-"`)
}

func TestAConnectionThatBuffersPublishesIsRefused(t *testing.T) {
	nc := eventstoretest.NewServer(t).Connect(t, nats.ReconnectBufSize(8<<20))
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	_, err = eventstore.Open(t.Context(), js, "bank", events, nil)
	require.ErrorIs(t, err, eventstore.ErrSettings)
	require.ErrorContains(t, err, "nats.ReconnectBufSize(-1)")
}

func TestServersInWhichBatchesAreBrokenAreRefused(t *testing.T) {
	for version, ok := range map[string]bool{
		"2.11.9": false, "2.12.14": false, "2.12.15": true, "2.13.0": false, "2.13.9": false, "2.14.0": false, "2.14.3": false,
		"2.14.4": true, "2.15.0-RC.1": true, "2.15.2": true, "3.0.0": true, "1.4.1": false, "weird": false,
	} {
		t.Run(version, func(t *testing.T) {
			proxy := eventstoretest.NewServer(t).Proxy(t)
			proxy.RewriteInfo(eventstoretest.ServerVersion(version))
			store, err := eventstore.Open(t.Context(), proxy.JetStream(t), "bank", events, nil)
			if ok {
				require.NoError(t, err)
				require.NoError(t, store.Close())
				return
			}
			require.ErrorIs(t, err, eventstore.ErrSettings)
			require.ErrorContains(t, err, strconv.Quote(version))
		})
	}
}

func TestSettingsThatDriftedAreRefusedAtOpen(t *testing.T) {
	for name, drift := range map[string]func(*jetstream.StreamConfig){
		"retention":            func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy },
		"discard":              func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld },
		"max age":              func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour },
		"max messages":         func(c *jetstream.StreamConfig) { c.MaxMsgs = 10 },
		"max messages per":     func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 },
		"max message size":     func(c *jetstream.StreamConfig) { c.MaxMsgSize = 1000 },
		"deny delete":          func(c *jetstream.StreamConfig) { c.DenyDelete = false },
		"deny purge":           func(c *jetstream.StreamConfig) { c.DenyPurge = false },
		"allow direct":         func(c *jetstream.StreamConfig) { c.AllowDirect = false },
		"allow atomic publish": func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false },
		"allow rollup":         func(c *jetstream.StreamConfig) { c.AllowRollup, c.DenyPurge = true, false },
		"allow message TTL":    func(c *jetstream.StreamConfig) { c.AllowMsgTTL = true },
		"subjects":             func(c *jetstream.StreamConfig) { c.Subjects = []string{"bank.>"} },
		"storage":              func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage },
		"runnel.codec":         func(c *jetstream.StreamConfig) { c.Metadata["runnel.codec"] = "json" },
		"runnel.format":        func(c *jetstream.StreamConfig) { c.Metadata["runnel.format"] = "2" },
		"runnel.identity":      func(c *jetstream.StreamConfig) { delete(c.Metadata, "runnel.identity") },
		"subject transform": func(c *jetstream.StreamConfig) {
			c.SubjectTransform = &jetstream.SubjectTransformConfig{Source: "bank.a.*", Destination: "bank.b.{{wildcard(1)}}"}
		},
		"no acknowledgements":   func(c *jetstream.StreamConfig) { c.NoAck, c.AllowAtomicPublish = true, false },
		"allow message counter": func(c *jetstream.StreamConfig) { c.AllowMsgCounter, c.Discard = true, jetstream.DiscardOld },
	} {
		t.Run(name, func(t *testing.T) {
			js := eventstoretest.JetStream(t)
			store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
			require.NoError(t, err)
			require.NoError(t, store.Close())
			stream, err := js.Stream(t.Context(), "bank")
			require.NoError(t, err)
			cfg := stream.CachedInfo().Config
			drift(&cfg)
			require.NoError(t, js.DeleteStream(t.Context(), "bank"))
			_, err = js.CreateStream(t.Context(), cfg)
			require.NoError(t, err)
			_, err = eventstore.Open(t.Context(), js, "bank", events, nil)
			require.ErrorIs(t, err, eventstore.ErrSettings)
			require.ErrorContains(t, err, name)
		})
	}
}

func TestRefusalsSayWhatWhereAndWhatToDo(t *testing.T) {
	store := open(t, nil)
	for name, test := range map[string]struct {
		stream eventstore.StreamID
		events []eventstore.Event
		reason error
		text   string
	}{
		"too large":        {account("1"), []eventstore.Event{opened{strings.Repeat("x", 1<<20)}}, eventstore.ErrTooLarge, "raise max_payload"},
		"unknown type":     {account("1"), []eventstore.Event{numbered{1}}, eventstore.ErrUnknownType, "add its prototype"},
		"nil event":        {account("1"), []eventstore.Event{nil}, eventstore.ErrUnknownType, "nil"},
		"no events":        {account("1"), nil, eventstore.ErrRefused, "at least one event"},
		"empty id":         {account(""), []eventstore.Event{deposited{1}}, eventstore.ErrInvalidID, "is empty"},
		"long id":          {account(strings.Repeat("x", 257)), []eventstore.Event{deposited{1}}, eventstore.ErrInvalidID, "257 bytes"},
		"invalid UTF-8":    {account("\xff"), []eventstore.Event{deposited{1}}, eventstore.ErrInvalidID, "UTF-8"},
		"invalid category": {eventstore.StreamID{Category: "a.b", ID: "1"}, []eventstore.Event{deposited{1}}, eventstore.ErrInvalidID, "category"},
	} {
		_, err := store.Append(t.Context(), test.stream, eventstore.Head{}, test.events...)
		var refused *eventstore.AppendError
		require.ErrorAs(t, err, &refused, name)
		require.Equal(t, test.stream, refused.Stream, name)
		require.Equal(t, eventstore.Version(1), refused.Version, name)
		require.ErrorIs(t, err, test.reason, name)
		require.ErrorContains(t, err, test.text, name)
		require.ErrorContains(t, err, "nothing was stored", name)
	}
	end, err := store.End(t.Context())
	require.NoError(t, err)
	require.Zero(t, end)

	_, err = store.AppendAll(t.Context())
	require.ErrorIs(t, err, eventstore.ErrTooLarge)
	_, err = store.AppendAll(t.Context(), make([]eventstore.Write, 1001)...)
	require.ErrorIs(t, err, eventstore.ErrTooLarge)
	twice := eventstore.Write{Stream: account("1"), Events: []eventstore.Event{deposited{1}}}
	_, err = store.AppendAll(t.Context(), twice, twice)
	require.ErrorIs(t, err, eventstore.ErrRefused)
	require.ErrorContains(t, err, "each stream once")
	_, err = store.Load(t.Context(), account(""))
	require.ErrorIs(t, err, eventstore.ErrInvalidID)
	_, err = store.At(t.Context(), 0)
	require.ErrorIs(t, err, eventstore.ErrRefused)
	require.ErrorContains(t, err, "positions begin at 1")
}

func TestTheLargestCommitTheServerTakesIsTaken(t *testing.T) {
	store := open(t, nil)
	stored, refused := 0, 0
	for size := 1<<20 - 1000; size < 1<<20; size += 50 {
		_, err := store.Append(t.Context(), account(strconv.Itoa(size)), eventstore.Head{}, opened{strings.Repeat("x", size)})
		if err == nil {
			stored++
			continue
		}
		require.ErrorIs(t, err, eventstore.ErrTooLarge)
		refused++
	}
	require.Positive(t, stored)
	require.Positive(t, refused)
	_, err := store.AppendAll(t.Context(),
		eventstore.Write{Stream: account("b"), Events: []eventstore.Event{opened{strings.Repeat("x", 1<<20-700)}}},
		eventstore.Write{Stream: account("c"), Events: []eventstore.Event{opened{strings.Repeat("x", 1<<20-700)}}})
	require.NoError(t, err, "a transaction's headers fit too")
}

func TestEventsThatCannotBeDecodedAreNeverSkipped(t *testing.T) {
	js := eventstoretest.JetStream(t)
	writer, err := eventstore.Open(t.Context(), js, "bank", []eventstore.Event{otherDeposited{}, opened{}}, nil)
	require.NoError(t, err)
	defer writer.Close()
	reader, err := eventstore.Open(t.Context(), js, "bank", []eventstore.Event{deposited{}}, nil)
	require.NoError(t, err)
	defer reader.Close()
	_, err = writer.Append(t.Context(), account("1"), eventstore.Head{}, opened{"anna"}, otherDeposited{"five"})
	require.NoError(t, err)

	var faults []eventstore.ReadError
	for recorded, err := range reader.All(t.Context()) {
		require.NoError(t, err)
		_, err = recorded.Decode()
		var fault *eventstore.ReadError
		require.ErrorAs(t, err, &fault)
		faults = append(faults, *fault)
	}
	require.Len(t, faults, 2)
	require.ErrorIs(t, &faults[0], eventstore.ErrUnknownType)
	require.Equal(t, "account.opened", faults[0].Type)
	require.ErrorIs(t, &faults[1], eventstore.ErrUndecodable)
	require.Equal(t, eventstore.Version(2), faults[1].Version)
	require.Equal(t, eventstore.Position(1), faults[1].Position)
}

func TestAFullStoreRefusesAndKeepsWhatItHas(t *testing.T) {
	store := open(t, &eventstore.Config{MaxBytes: 10_000})
	head, stored := eventstore.Head{}, 0
	for {
		c, err := store.Append(t.Context(), account("1"), head, opened{strings.Repeat("x", 500)})
		if err != nil {
			require.ErrorIs(t, err, eventstore.ErrFull)
			require.ErrorContains(t, err, "MaxBytes")
			break
		}
		head, stored = c.Head(), stored+1
	}
	require.Len(t, decode(t, store.All(t.Context())), stored)
}

func TestWhatIsNotPermittedIsSaidSo(t *testing.T) {
	may := func(publish, subscribe string) *server.Permissions {
		return &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: strings.Fields(publish)},
			Subscribe: &server.SubjectPermission{Allow: strings.Fields(subscribe)},
		}
	}
	s := eventstoretest.NewServer(t, eventstoretest.Options(func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "admin", Password: "x"},
			{Username: "reader", Password: "x", Permissions: may("$JS.API.> _INBOX.>", "_INBOX.>")},
			{Username: "nobody", Password: "x", Permissions: may("nothing", "_INBOX.>")},
		}
	}))
	as := func(user string) jetstream.JetStream {
		js, err := jetstream.New(s.Connect(t, nats.UserInfo(user, "x")), jetstream.WithDefaultTimeout(time.Second))
		require.NoError(t, err)
		return js
	}
	admin, err := eventstore.Open(t.Context(), as("admin"), "bank", events, nil)
	require.NoError(t, err)
	defer admin.Close()

	reader, err := eventstore.Open(t.Context(), as("reader"), "bank", events, &eventstore.Config{AckTimeout: 100 * time.Millisecond})
	require.NoError(t, err)
	defer reader.Close()
	_, err = reader.Append(t.Context(), account("1"), eventstore.Head{}, deposited{1})
	require.ErrorIs(t, err, eventstore.ErrNoPermission)
	require.ErrorContains(t, err, "allow this user to publish to bank.>")

	_, err = eventstore.Open(t.Context(), as("nobody"), "bank", events, nil)
	require.ErrorIs(t, err, eventstore.ErrNoPermission)
	require.ErrorContains(t, err, "$JS.API.STREAM.INFO.bank")
	require.Empty(t, decode(t, admin.All(t.Context())))
}

func TestWhatIsPublishedAsACommitAndIsNoneIsDamage(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	publishAsACommit(t, js, "bank.account.1", []byte("not ours"))
	_, err = store.Load(t.Context(), account("1"))
	var corrupt *eventstore.ReadError
	require.ErrorAs(t, err, &corrupt)
	require.ErrorIs(t, err, eventstore.ErrCorrupt)
	require.Equal(t, account("1"), corrupt.Stream)
	require.Equal(t, eventstore.Position(1), corrupt.Position)
	for _, err := range store.All(t.Context()) {
		require.ErrorIs(t, err, eventstore.ErrCorrupt)
	}
	_, err = store.Append(t.Context(), account("1"), eventstore.Head{}, deposited{1})
	require.ErrorIs(t, err, eventstore.ErrCorrupt)
	publishAsACommit(t, js, "bank.account.=41", []byte("no id has this token"))
	for _, err := range store.All(t.Context(), eventstore.After(1)) {
		require.ErrorIs(t, err, eventstore.ErrCorrupt)
	}
}
