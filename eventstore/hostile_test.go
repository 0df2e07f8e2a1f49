package eventstore_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/proptest"
	"github.com/runnel-go/runnel/kv"
	"github.com/runnel-go/runnel/projection"
	"github.com/runnel-go/runnel/reactor"
	"github.com/runnel-go/runnel/saga"
	"github.com/runnel-go/runnel/snapshot"
)

// hostility is an account in which one thing is missing or small.
type hostility struct {
	denied    string // what may not be published to
	unheard   string // what may not be subscribed to
	limits    func(*server.JetStreamAccountLimits)
	subs      bool // subscriptions are limited, to those that the user has left
	left      int  // how many that are
	options   func(*server.Options)
	hinder    func(t *testing.T, admin jetstream.JetStream) // once the account is filled
	names     []string                                      // one of them is in the error, if there is one
	mustOpens bool                                          // Open works
	long      int                                           // commits of the long stream, if not longStream
}

// longStream is how many commits the long stream has: more than a load follows links for.
const longStream = 1100

var hostilities = map[string]hostility{
	"no stream info":            {denied: "$JS.API.STREAM.INFO.bank"},
	"no stream info at all":     {denied: "$JS.API.STREAM.INFO.>"},
	"no stream create":          {denied: "$JS.API.STREAM.CREATE.>", mustOpens: true},
	"no stream update":          {denied: "$JS.API.STREAM.UPDATE.>", mustOpens: true},
	"no message get":            {denied: "$JS.API.STREAM.MSG.GET.bank"},
	"no message get of buckets": {denied: "$JS.API.STREAM.MSG.GET.KV_docs", mustOpens: true},
	"no message get of marks":   {denied: "$JS.API.STREAM.MSG.GET.KV_bank_control", mustOpens: true},
	"no message delete":         {denied: "$JS.API.STREAM.MSG.DELETE.>", mustOpens: true},
	"no direct get":             {denied: "$JS.API.DIRECT.GET.>", mustOpens: true},
	"no direct get of buckets":  {denied: "$JS.API.DIRECT.GET.KV_docs", mustOpens: true},
	"no consumer create":        {denied: "$JS.API.CONSUMER.CREATE.>", mustOpens: true},
	"no consumers of the store": {denied: "$JS.API.CONSUMER.CREATE.bank.>", mustOpens: true},
	"no consumer next":          {denied: "$JS.API.CONSUMER.MSG.NEXT.>", mustOpens: true},
	"no consumer delete":        {denied: "$JS.API.CONSUMER.DELETE.>", mustOpens: true},
	"no stream names":           {denied: "$JS.API.STREAM.NAMES", mustOpens: true},
	"no account info":           {denied: "$JS.API.INFO", mustOpens: true},
	"no API":                    {denied: "$JS.API.>"},
	"no writes":                 {denied: "bank.>"},
	"no writes to accounts":     {denied: "bank.account.*", mustOpens: true},
	"no writes to one stream":   {denied: "bank.account.b", mustOpens: true},
	"no records of the toolkit": {denied: "bank.runnel.*"},
	"no documents":              {denied: "$KV.docs.>", mustOpens: true},
	"no buckets":                {denied: "$KV.>", mustOpens: true},
	"no acknowledgements":       {denied: "$JS.ACK.>", mustOpens: true},
	"no replies":                {unheard: "_INBOX.>", names: []string{"_INBOX."}},
	"no more streams": {
		limits: func(l *server.JetStreamAccountLimits) { l.MaxStreams = 4 }, names: []string{"maximum number of streams"}, mustOpens: true,
	},
	"no more consumers": {
		limits: func(l *server.JetStreamAccountLimits) { l.MaxConsumers = 1 }, names: []string{"maximum consumers limit"}, mustOpens: true,
		hinder: func(t *testing.T, admin jetstream.JetStream) {
			for _, stream := range []string{"bank", "KV_docs"} {
				_, err := admin.CreateConsumer(t.Context(), stream, jetstream.ConsumerConfig{Durable: "other"})
				require.NoError(t, err)
			}
		},
	},
	"no more storage": {
		limits: func(l *server.JetStreamAccountLimits) { l.MaxStore = 400 << 10 }, mustOpens: true,
		names: []string{"resource limits exceeded", "insufficient", "no room", "full"},
	},
	"sizes demanded": {
		limits: func(l *server.JetStreamAccountLimits) { l.MaxBytesRequired = true }, names: []string{"max bytes"}, mustOpens: true,
	},
	"small streams": {
		limits: func(l *server.JetStreamAccountLimits) { l.StoreMaxStreamBytes = 1 << 20 }, names: []string{"limit", "max", "bytes"}, mustOpens: true,
	},
	"small requests": {
		options: func(o *server.Options) { o.JetStreamLimits.MaxRequestBatch = 3 }, mustOpens: true, long: 300,
	},
	"small batches": {
		options: func(o *server.Options) { o.JetStreamLimits.MaxBatchSize = 2 }, names: []string{"batch"}, mustOpens: true,
	},
	"few batches at once": {
		options: func(o *server.Options) { o.JetStreamLimits.MaxBatchInflightPerStream = 1 }, names: []string{"batch"}, mustOpens: true,
	},
	"few acknowledgements pending": {
		options: func(o *server.Options) { o.JetStreamLimits.MaxAckPending = 1 }, mustOpens: true,
	},
	"short duplicate windows": {
		options: func(o *server.Options) { o.JetStreamLimits.Duplicates = time.Second }, names: []string{"duplicate"}, mustOpens: true,
	},
	"high availability is bounded": {
		options: func(o *server.Options) { o.JetStreamLimits.MaxHAAssets = 1 }, mustOpens: true,
	},
	"consumers that idle for short": {
		mustOpens: true,
		hinder: func(t *testing.T, admin jetstream.JetStream) {
			for _, name := range []string{"bank", "KV_docs"} {
				stream, err := admin.Stream(t.Context(), name)
				require.NoError(t, err)
				cfg := stream.CachedInfo().Config
				cfg.ConsumerLimits.InactiveThreshold = time.Second
				_, err = admin.UpdateStream(t.Context(), cfg)
				require.NoError(t, err)
			}
		},
	},
	"few subscriptions left": {subs: true, left: 3, names: []string{"maximum subscriptions"}},
	"no subscriptions left":  {subs: true, names: []string{"maximum subscriptions"}},
	"small payloads": {
		options: func(o *server.Options) { o.MaxPayload = 2048 }, mustOpens: true, names: []string{"max_payload", "large", "payload"},
	},
}

// filled is a folder with the streams of an account that a user without restrictions has filled.
type filled struct {
	folder string
	head   eventstore.Head // of stream a
}

// fillOnce fills an account for all hostilities that leave the server as it is.
func fillOnce(t *testing.T) filled {
	t.Helper()
	srv := eventstoretest.NewServer(t)
	js, err := jetstream.New(srv.Connect(t))
	require.NoError(t, err)
	head := fillAccount(t, js, longStream)
	srv.Stop()
	return filled{filepath.Join(srv.StoreDir(), "jetstream", server.DEFAULT_GLOBAL_ACCOUNT), head}
}

// account makes the account on a server of its own, with the same streams as the filled one, and returns a connection
// of the restricted user.
func (h hostility) account(t *testing.T, from filled) (user jetstream.JetStream, head eventstore.Head) {
	t.Helper()
	permissions := &server.Permissions{Publish: &server.SubjectPermission{Allow: []string{">"}}, Subscribe: &server.SubjectPermission{Allow: []string{">"}}}
	if h.denied != "" {
		permissions.Publish.Deny = []string{h.denied}
	}
	if h.unheard != "" {
		permissions.Subscribe.Deny = []string{h.unheard}
	}
	srv := eventstoretest.NewServer(t, eventstoretest.Options(func(o *server.Options) {
		app := server.NewAccount("APP")
		o.Accounts = []*server.Account{app}
		o.Users = []*server.User{{Username: "admin", Password: "x", Account: app}, {Username: "user", Password: "x", Account: app, Permissions: permissions}}
		if h.subs {
			o.MaxSubs = hostileSubs
		}
		if h.options != nil {
			h.options(o)
		}
	}))
	limits := server.JetStreamAccountLimits{
		MaxMemory: -1, MaxStore: -1, MaxStreams: -1, MaxConsumers: -1, MaxAckPending: -1, MemoryMaxStreamBytes: -1, StoreMaxStreamBytes: -1,
	}
	if h.options == nil { // a server with other limits would refuse the streams in the folder
		require.NoError(t, os.CopyFS(filepath.Join(srv.StoreDir(), "jetstream", "APP"), os.DirFS(from.folder)))
	}
	app, err := srv.NATS().LookupAccount("APP")
	require.NoError(t, err)
	require.NoError(t, app.EnableJetStream(map[string]server.JetStreamAccountLimits{"": limits}, nil))
	connect := func(user string) jetstream.JetStream {
		js, err := jetstream.New(srv.Connect(t, nats.UserInfo(user, "x")))
		require.NoError(t, err)
		return js
	}
	admin := connect("admin")
	if head = from.head; h.options != nil {
		head = fillAccount(t, admin, cmp.Or(h.long, longStream))
	}
	bank, err := admin.Stream(t.Context(), "bank")
	require.NoError(t, err)
	require.Greater(t, bank.CachedInfo().State.Msgs, uint64(cmp.Or(h.long, longStream)))
	if h.hinder != nil {
		h.hinder(t, admin)
	}
	if h.limits != nil {
		h.limits(&limits)
		require.NoError(t, app.UpdateJetStreamLimits(map[string]server.JetStreamAccountLimits{"": limits}))
	}
	user = connect("user")
	if h.subs {
		// nats.go makes a subscription of its own at its first request. It does not say so if that one hears nothing.
		_, err := user.AccountInfo(t.Context())
		require.NoError(t, err)
		for user.Conn().NumSubscriptions() < hostileSubs-h.left {
			_, err := user.Conn().SubscribeSync(fmt.Sprint("other.", user.Conn().NumSubscriptions()))
			require.NoError(t, err)
		}
	}
	return user, head
}

// hostileSubs is how many subscriptions a connection may have if they are limited.
const hostileSubs = 100

var hostileEvents = append(saga.Events(), opened{}, deposited{})

// fillAccount makes a store with a short and a long stream, and a bucket with documents.
func fillAccount(t *testing.T, js jetstream.JetStream, long int) eventstore.Head {
	t.Helper()
	ctx := t.Context()
	store, err := eventstore.Open(ctx, js, "bank", hostileEvents, &eventstore.Config{Erasure: true})
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	c, err := store.Append(ctx, account("a"), eventstore.Head{}, opened{})
	require.NoError(t, err)
	head := eventstore.Head{}
	for i := range long {
		next, err := store.Append(ctx, account("long"), head, deposited{int64(i)})
		require.NoError(t, err)
		head = next.Head()
	}
	_, err = store.Append(ctx, account("erased"), eventstore.Head{}, opened{})
	require.NoError(t, err)
	err = withSagas(ctx, store, func(trips *saga.Manager[trip]) error {
		// A saga that goes on would be denied beside what is tried.
		return until(ctx, trips.Run, func(ctx context.Context) error {
			if _, err := trips.Start(ctx, "done", trip{}); err != nil {
				return err
			}
			_, err := trips.Wait(ctx, "done")
			return err
		})
	})
	if !errors.Is(err, projection.ErrTooManyDocuments) { // in small batches it does not end
		require.NoError(t, err)
	}
	docs, err := kv.Open[balance](ctx, js, "docs", nil)
	require.NoError(t, err)
	for i := range 5 {
		_, err = docs.Put(ctx, fmt.Sprint(i), balance{int64(i)})
		require.NoError(t, err)
	}
	require.NoError(t, docs.Close())
	return c.Head()
}

// cell is one operation in one hostile account. It says how it ended.
type cell func(ctx context.Context) error

func first[T any](read func(func(T, error) bool)) error {
	for _, err := range read {
		return err
	}
	return nil
}

func drained[T any](read func(func(T, error) bool)) error {
	for _, err := range read {
		if err != nil {
			return err
		}
	}
	return nil
}

// booking is a command that can be told from another.
type booking struct{ Amount int64 }

func (c booking) Decide(balance) ([]eventstore.Event, error) {
	return []eventstore.Event{deposited(c)}, nil
}

// storeCells are the operations on an open store.
func storeCells(store *eventstore.Store, head eventstore.Head) map[string]cell {
	cells := make(map[string]cell)
	for name, operation := range operations(store, head) {
		cells[name] = operation
	}
	cells["Load of a long stream"] = func(ctx context.Context) error {
		_, err := store.Load(ctx, account("long"))
		return err
	}
	cells["Live"] = func(ctx context.Context) error { return first(store.Log(ctx, eventstore.Live())) }
	cells["Export of a bucket"] = func(ctx context.Context) error {
		_, err := store.Export(ctx, io.Discard, &eventstore.ExportConfig{Buckets: []string{"docs"}})
		return err
	}
	cells["Do with a key"] = func(ctx context.Context) error {
		accounts, err := aggregate.New(store, "account", balance{}, nil)
		if err != nil {
			return err
		}
		for range 2 {
			if _, err := accounts.Do(ctx, "done", booking{1}, aggregate.Key("k")); err != nil {
				return err
			}
		}
		return nil
	}
	cells["Transact"] = func(ctx context.Context) error {
		accounts, err := aggregate.New(store, "account", balance{}, nil)
		if err != nil {
			return err
		}
		return aggregate.Transact(ctx, store, nil, accounts.On("t1", pay{1}), accounts.On("b", pay{1}), accounts.On("t3", pay{1}))
	}
	cells["snapshot"] = func(ctx context.Context) error {
		cache, err := snapshot.Open(ctx, store, "account", nil)
		if err != nil {
			return err
		}
		return cache.Close()
	}
	cells["view"] = func(ctx context.Context) error { return viewed(ctx, store) }
	cells["reactor"] = func(ctx context.Context) error { return reacted(ctx, store) }
	cells["saga.Start"] = func(ctx context.Context) error {
		return withSagas(ctx, store, func(trips *saga.Manager[trip]) error {
			_, err := trips.Start(ctx, "started", trip{})
			return err
		})
	}
	cells["saga.Get"] = func(ctx context.Context) error {
		return withSagas(ctx, store, func(trips *saga.Manager[trip]) error {
			_, err := trips.Get(ctx, "done")
			return err
		})
	}
	cells["saga step"] = func(ctx context.Context) error {
		return withSagas(ctx, store, func(trips *saga.Manager[trip]) error {
			return until(ctx, trips.Run, func(ctx context.Context) error {
				if _, err := trips.Start(ctx, "step", trip{}); err != nil {
					return err
				}
				if _, err := trips.Wait(ctx, "step"); err != nil {
					return err
				}
				return drained(trips.List(ctx))
			})
		})
	}
	return cells
}

// trip is the data of a saga with one step.
type trip struct{ Room string }

// trips is the definition of such sagas.
func trips() (*saga.Definition[trip], error) {
	return saga.Define("trip", saga.Step("room", func(_ context.Context, _ saga.Call, t trip) (trip, error) {
		t.Room = "7"
		return t, nil
	}).NoUndo())
}

// withSagas opens the sagas of trips.
func withSagas(ctx context.Context, store *eventstore.Store, use func(*saga.Manager[trip]) error) error {
	definition, err := trips()
	if err != nil {
		return err
	}
	manager, err := saga.Open(ctx, store, definition, nil)
	if err != nil {
		return err
	}
	return errors.Join(use(manager), manager.Close())
}

// viewed builds a view and reads a document.
func viewed(ctx context.Context, store *eventstore.Store) error {
	view, err := projection.Open(ctx, store, "balances", 1, nil,
		projection.On(func(b balance, e opened) balance { return b }), projection.On(func(b balance, e deposited) balance { return b.Evolve(e) }))
	if err != nil {
		return err
	}
	defer view.Close()
	return until(ctx, view.Run, func(ctx context.Context) error {
		if err := view.WaitFor(ctx, 1); err != nil {
			return err
		}
		_, err := view.Get(ctx, "a")
		return err
	})
}

// reacted waits for the first reaction.
func reacted(ctx context.Context, store *eventstore.Store) error {
	called := make(chan struct{}, 2000)
	mails, err := reactor.Open(ctx, store, "mails", &reactor.Config{From: 1},
		reactor.On(func(context.Context, opened, eventstore.Recorded) error {
			called <- struct{}{}
			return nil
		}))
	if err != nil {
		return err
	}
	defer mails.Close()
	return until(ctx, mails.Run, func(ctx context.Context) error {
		select {
		case <-called:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
}

// until runs something until what it is run for has come, or until it ends by itself.
func until(ctx context.Context, run, come func(context.Context) error) error {
	running, stop := context.WithCancelCause(ctx)
	ended := make(chan error, 1)
	go func() {
		err := run(running)
		if err != nil {
			stop(err)
		}
		ended <- err
	}()
	err := come(running)
	stop(nil)
	return errors.Join(err, <-ended)
}

// bucketCells are the operations on a bucket.
func bucketCells(js jetstream.JetStream, docs *kv.Bucket[balance]) map[string]cell {
	return map[string]cell{
		"kv.Open of a new bucket": func(ctx context.Context) error {
			other, err := kv.Open[balance](ctx, js, "other", nil)
			if err != nil {
				return err
			}
			return other.Close()
		},
		"kv.Put": func(ctx context.Context) error {
			_, err := docs.Put(ctx, "1", balance{1})
			return err
		},
		"kv.Create": func(ctx context.Context) error {
			_, err := docs.Create(ctx, "new", balance{1})
			return err
		},
		"kv.Get": func(ctx context.Context) error {
			_, err := docs.Get(ctx, "1")
			return err
		},
		"kv.GetLeader": func(ctx context.Context) error {
			_, err := docs.GetLeader(ctx, "1")
			return err
		},
		"kv.GetMany": func(ctx context.Context) error {
			_, err := docs.GetMany(ctx, "1", "2")
			return err
		},
		"kv.List":  func(ctx context.Context) error { return drained(docs.List(ctx)) },
		"kv.Watch": func(ctx context.Context) error { return first(docs.Watch(ctx)) },
		"kv.Batch": func(ctx context.Context) error {
			batch := docs.Batch()
			for i := range 3 {
				batch.Put(fmt.Sprint("batch", i), balance{1})
			}
			_, err := batch.Commit(ctx)
			return err
		},
	}
}

const (
	// promised is what an operation in a hostile account may take.
	promised = 2 * time.Second
	// patience is after how long one hangs, also on a machine that is busy.
	patience = 3 * promised
)

// errHung says that an operation did not end.
var errHung = errors.New("hangs")

// timed runs an operation, and returns how long it took. One that took longer than it may is run again, up to twice,
// and the shortest time counts. The machine may have been busy. And nats.go keeps only one of two complaints of the
// server that come at the same moment, so the operation with the other one waits.
func timed(t *testing.T, run cell) (took time.Duration, err error) {
	t.Helper()
	for try := range 3 {
		ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errHung)
		begun := time.Now()
		again := run(ctx)
		last := time.Since(begun).Round(time.Millisecond)
		if ctx.Err() != nil {
			again = errors.Join(errHung, again)
		}
		cancel()
		if try == 0 || last < took {
			took, err = last, again
		}
		if took <= promised {
			break
		}
	}
	return took, err
}

func TestEveryOperationInAHostileAccountWorksOrNamesWhatIsMissing(t *testing.T) {
	proptest.AboutTime(t)
	t.Parallel()
	from := fillOnce(t)
	for name, h := range hostilities {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			user, head := h.account(t, from)
			names := h.names
			if h.denied != "" {
				names = append(names, strings.TrimRight(h.denied, ".>*"))
			}
			try := func(t *testing.T, operation string, run cell) error {
				t.Helper()
				took, err := timed(t, run)
				if took > promised {
					t.Errorf("%s: takes %v: %v", operation, took, err)
					return err
				}
				if err != nil && !errors.Is(err, eventstore.ErrConflict) && !namesOne(err, names) {
					t.Errorf("%s: %v: does not name what is missing (%q): %v", operation, took, names, err)
				}
				return err
			}
			var store *eventstore.Store
			err := try(t, "Open", func(ctx context.Context) (err error) {
				if store != nil { // it is tried again
					require.NoError(t, store.Close())
				}
				store, err = eventstore.Open(ctx, user, "bank", hostileEvents, &eventstore.Config{Erasure: true})
				return err
			})
			if err == nil {
				defer func() { require.NoError(t, store.Close()) }()
				for operation, run := range storeCells(store, head) {
					_ = try(t, operation, run)
				}
			} else if h.mustOpens {
				t.Errorf("Open: %v", err)
			}
			_ = try(t, "Open of a new store", func(ctx context.Context) error {
				other, err := eventstore.Open(ctx, user, "other", hostileEvents, nil)
				if err != nil {
					return err
				}
				return other.Close()
			})
			var docs *kv.Bucket[balance]
			err = try(t, "kv.Open", func(ctx context.Context) (err error) {
				if docs != nil {
					require.NoError(t, docs.Close())
				}
				docs, err = kv.Open[balance](ctx, user, "docs", nil)
				return err
			})
			if err == nil {
				defer func() { require.NoError(t, docs.Close()) }()
				for operation, run := range bucketCells(user, docs) {
					_ = try(t, operation, run)
				}
			}
		})
	}
}

func namesOne(err error, names []string) bool {
	for _, name := range names {
		if strings.Contains(err.Error(), name) {
			return true
		}
	}
	return false
}
