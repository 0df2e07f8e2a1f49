package eventstore_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/internal/proptest"
	"github.com/runnel-go/runnel/projection"
)

// program is one that uses a store: appenders, a reader that follows the log, a view. Each goes on until it is told
// that the log is not what it was.
type program struct {
	t        *testing.T
	name     string // of the store
	replicas int
	operator jetstream.JetStream // another's connection
	store    *eventstore.Store
	older    []byte // an archive of the log as it was some commits ago
	other    []byte // an archive of another store's log, which is longer

	mu    sync.Mutex
	acked map[string]eventstore.Position // commits that were acknowledged, by id

	running sync.WaitGroup
	ended   map[string]end
}

// end is how a part of a program ended.
type end struct {
	err error
	at  time.Time
}

// launch opens the store, fills it and waits until the mark stands beyond the archive's end.
func launch(t *testing.T, js, operator jetstream.JetStream, name string, replicas int) *program {
	t.Helper()
	p := &program{
		t: t, name: name, replicas: replicas, operator: operator,
		acked: make(map[string]eventstore.Position), ended: make(map[string]end),
	}
	var err error
	p.store, err = eventstore.Open(t.Context(), js, name, events, &eventstore.Config{Replicas: replicas})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.store.Close()) })
	p.fill(10)
	p.older = export(t, p.store)
	last := p.fill(10)
	require.Eventually(t, func() bool { return p.mark().Position >= last }, 20*time.Second, 10*time.Millisecond)
	return p
}

func (p *program) fill(n int) (last eventstore.Position) {
	head, err := p.store.Head(p.t.Context(), account("filled"))
	require.NoError(p.t, err)
	for range n {
		c, err := p.store.Append(p.t.Context(), account("filled"), head, deposited{1})
		require.NoError(p.t, err)
		p.note(c)
		head, last = c.Head(), c.Position
	}
	return last
}

// highWater is the mark as it stands in its bucket.
type highWater struct {
	Store    string
	Position eventstore.Position
	Commit   string
}

// mark reads the mark. It is zero if there is none, or none can be read.
func (p *program) mark() (m highWater) {
	bucket, err := p.operator.KeyValue(p.t.Context(), p.name+"_control")
	if err != nil {
		return m
	}
	entry, err := bucket.Get(p.t.Context(), "mark")
	if err != nil || json.Unmarshal(entry.Value(), &m) != nil {
		return highWater{}
	}
	return m
}

func (p *program) note(c *eventstore.Commit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.acked[c.ID.String()] = c.Position
}

// run begins a part of the program, which ends with an error.
func (p *program) run(what string, f func() error) {
	p.running.Go(func() {
		err := f()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.ended[what] = end{err, time.Now()}
	})
}

func isTold(err error) bool {
	return errors.Is(err, eventstore.ErrLogRewound) || errors.Is(err, eventstore.ErrSettings)
}

// append appends to a stream until it is told.
func (p *program) append(ctx context.Context, id string) error {
	var head eventstore.Head
	for {
		c, err := p.store.Append(ctx, account(id), head, deposited{1})
		switch {
		case err == nil:
			p.note(c)
			head = c.Head()
		case isTold(err), ctx.Err() != nil:
			return err
		default: // the stream is gone at the moment, or another is at another version
			head, err = p.store.Head(ctx, account(id))
			if isTold(err) {
				return err
			}
		}
	}
}

// follow is a reader that follows the log.
func (p *program) follow(ctx context.Context) error {
	return ended(p.store.Log(ctx, eventstore.Live()))
}

// ended returns the error that a read ends with.
func ended[T any](read iter.Seq2[T, error]) error {
	for _, err := range read {
		if err != nil {
			return err
		}
	}
	return nil
}

// load is what all parts do at once.
func (p *program) load(ctx context.Context) {
	for i := range 4 {
		p.run(fmt.Sprint("appender ", i), func() error { return p.append(ctx, fmt.Sprint(i)) })
	}
	p.read(ctx)
}

// read is what those parts do that do not write.
func (p *program) read(ctx context.Context) {
	view, err := projection.Open(p.t.Context(), p.store, "balances", 1, nil,
		projection.On(func(b balance, e deposited) balance { return b.Evolve(e) }))
	require.NoError(p.t, err)
	p.run("reader", func() error { return p.follow(ctx) })
	p.run("view", func() error { return errors.Join(view.Run(ctx), view.Close()) })
}

// config returns the configuration of the store's JetStream stream.
func (p *program) config() jetstream.StreamConfig {
	stream, err := p.operator.Stream(p.t.Context(), p.name)
	require.NoError(p.t, err)
	return stream.CachedInfo().Config
}

func (p *program) remake(cfg jetstream.StreamConfig) {
	require.Eventually(p.t, func() bool { // a cluster without one of its nodes takes a moment
		err := p.operator.DeleteStream(p.t.Context(), p.name)
		if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return false
		}
		_, err = p.operator.CreateStream(p.t.Context(), cfg)
		return err == nil
	}, 20*time.Second, 10*time.Millisecond)
}

func (p *program) restore(archive []byte) {
	require.Eventually(p.t, func() bool {
		if err := p.operator.DeleteStream(p.t.Context(), p.name); err != nil {
			return false
		}
		// A commit that is appended meanwhile makes it fail.
		_, err := eventstore.Import(p.t.Context(), p.operator, bytes.NewReader(archive), &eventstore.ImportConfig{
			Name: p.name, Store: &eventstore.Config{Replicas: p.replicas},
		})
		return err == nil
	}, time.Minute, 10*time.Millisecond)
}

// longer returns an archive of another store, which has more commits.
func longer(t *testing.T) []byte {
	t.Helper()
	store, err := eventstore.Open(t.Context(), eventstoretest.JetStream(t), "other", events, nil)
	require.NoError(t, err)
	defer store.Close()
	for i := range 2000 {
		_, err := store.Append(t.Context(), account(fmt.Sprint("other ", i)), eventstore.Head{}, deposited{1})
		require.NoError(t, err)
	}
	return export(t, store)
}

const (
	madeAnew       = "the stream is made anew"
	importedLonger = "a longer log of another store is imported"
)

// ways are the ways in which a log is replaced while the connection stays up. Each reports whether the next Open also
// ends with an error.
var ways = map[string]func(p *program) (toldAgain bool){
	"an older backup is restored": func(p *program) bool {
		p.restore(p.older)
		return true
	},
	"an older backup is restored, and others go on in it": func(p *program) bool {
		p.restore(p.older)
		_, err := eventstore.Open(p.t.Context(), p.operator, p.name, events, nil)
		lost, ok := errors.AsType[*eventstore.LogRewoundError](err)
		require.True(p.t, ok, "%v", err)
		require.NoError(p.t, eventstore.AcceptRewind(p.t.Context(), p.operator, lost))
		other, err := eventstore.Open(p.t.Context(), p.operator, p.name, events, nil)
		require.NoError(p.t, err)
		head, err := other.Head(p.t.Context(), account("filled"))
		require.NoError(p.t, err)
		for range 20 {
			c, err := other.Append(p.t.Context(), account("filled"), head, deposited{2})
			require.NoError(p.t, err)
			head = c.Head()
		}
		require.NoError(p.t, other.Close())
		return false
	},
	madeAnew: func(p *program) bool {
		cfg := p.config()
		cfg.Metadata = maps.Clone(cfg.Metadata)
		cfg.Metadata["runnel.identity"] = "another"
		p.remake(cfg)
		return true
	},
	"the stream is lost and comes back empty": func(p *program) bool {
		p.remake(p.config())
		return true
	},
	importedLonger: func(p *program) bool {
		p.restore(p.other)
		return false // importing another log forgets the mark, which is kept beside
	},
}

// told is what must hold once the log was replaced, and every part of the program has ended. It returns after how long
// the last part has.
func (p *program) told(replaced time.Time, before highWater, toldAgain bool) (noticed time.Duration) {
	p.running.Wait()
	var last time.Time
	for what, e := range p.ended {
		require.ErrorIs(p.t, e.err, eventstore.ErrLogRewound, what)
		if e.at.After(last) {
			last = e.at
		}
	}
	noticed = last.Sub(replaced).Round(time.Millisecond)
	require.Less(p.t, noticed, 5*time.Second, "a second is meant; the machine may be busy")
	byPosition := make(map[eventstore.Position]string)
	for id, position := range p.acked {
		require.Empty(p.t, byPosition[position], "position %d was acknowledged twice", position)
		byPosition[position] = id
	}
	p.refuses()

	mark := p.mark()
	if toldAgain {
		require.GreaterOrEqual(p.t, mark.Position, before.Position)
		require.Equal(p.t, before.Store, mark.Store)
		require.Equal(p.t, mark.Position, p.acked[mark.Commit], "the mark is of the log that was")
		if p.replicas > 1 && !proptest.Long() {
			return noticed // a new leader is given time to catch up
		}
		_, err := eventstore.Open(p.t.Context(), p.operator, p.name, events, nil)
		require.ErrorIs(p.t, err, eventstore.ErrLogRewound)
		return noticed
	}
	require.NotContains(p.t, p.acked, mark.Commit, "a mark that was forgotten is not written again")
	return noticed
}

// refuses makes sure that all that the store does ends with what it was told.
func (p *program) refuses() {
	ctx := p.t.Context()
	calls := map[string]error{}
	_, calls["append"] = p.store.Append(ctx, account("new"), eventstore.Head{}, deposited{1})
	_, calls["transaction"] = p.store.AppendAll(ctx, eventstore.Write{Stream: account("x"), Events: []eventstore.Event{deposited{1}}},
		eventstore.Write{Stream: account("y"), Events: []eventstore.Event{deposited{1}}})
	_, calls["load"] = p.store.Load(ctx, account("filled"))
	_, calls["head"] = p.store.Head(ctx, account("none"))
	_, calls["end"] = p.store.End(ctx)
	_, calls["at"] = p.store.At(ctx, 1)
	_, calls["replay"] = p.store.Replay(ctx, func(eventstore.Recorded) error { return nil })
	_, calls["export"] = p.store.Export(ctx, new(bytes.Buffer), nil)
	calls["live"] = ended(p.store.All(ctx, eventstore.Live(), eventstore.After(3)))
	calls["backwards"] = ended(p.store.Stream(ctx, account("filled"), eventstore.Backwards()))
	calls["list"] = ended(p.store.Streams(ctx, "account"))
	for what, err := range calls {
		require.ErrorIs(p.t, err, eventstore.ErrLogRewound, what)
	}
}

// uses are what a program may do first after its log was replaced.
var uses = map[string]func(ctx context.Context, p *program) error{
	"append": func(ctx context.Context, p *program) error { return p.append(ctx, "new") },
	"load": func(ctx context.Context, p *program) error {
		for {
			if _, err := p.store.Load(ctx, account("none")); isTold(err) || ctx.Err() != nil {
				return err
			}
		}
	},
}

func onOneReplicaAndThree(t *testing.T, f func(t *testing.T, replicas int, js, operator jetstream.JetStream)) {
	t.Helper()
	t.Run("one replica", func(t *testing.T) {
		server := eventstoretest.NewServer(t)
		f(t, 1, server.JetStream(t), server.JetStream(t))
	})
	t.Run("three replicas", func(t *testing.T) {
		cluster := eventstoretest.NewCluster(t, 3, eventstoretest.Memory())
		f(t, 3, cluster.Nodes()[0].JetStream(t), cluster.Nodes()[1].JetStream(t))
	})
}

func TestALogThatIsReplacedUnderLoadIsNoticed(t *testing.T) {
	t.Parallel()
	other := longer(t)
	onOneReplicaAndThree(t, func(t *testing.T, replicas int, js, operator jetstream.JetStream) {
		n := 0
		var noticed []time.Duration
		for what, replace := range waysOn(replicas) {
			n++
			t.Run(what, func(t *testing.T) {
				p := launch(t, js, operator, fmt.Sprint("bank", n), replicas)
				p.other = other
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				p.load(ctx)
				before := p.mark()
				again := replace(p)
				noticed = append(noticed, p.told(time.Now(), before, again))
			})
		}
		requireMedian(t, time.Second, noticed)
	})
}

func TestALogThatIsReplacedWhileNothingHappensIsNoticedAtTheFirstUse(t *testing.T) {
	t.Parallel()
	other := longer(t)
	onOneReplicaAndThree(t, func(t *testing.T, replicas int, js, operator jetstream.JetStream) {
		n := 0
		var noticed []time.Duration
		for what, replace := range waysOn(replicas) {
			for how, use := range uses {
				n++
				t.Run(what+", "+how, func(t *testing.T) {
					p := launch(t, js, operator, fmt.Sprint("bank", n), replicas)
					p.other = other
					before := p.mark()
					again := replace(p)
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					used := time.Now()
					p.run(how, func() error { return use(ctx, p) })
					noticed = append(noticed, p.told(used, before, again))
				})
			}
		}
		requireMedian(t, time.Second, noticed)
	})
}

// waysOn returns the ways to be tried: on three replicas, where each takes some seconds, only two of them unless there
// is time.
func waysOn(replicas int) map[string]func(*program) bool {
	if replicas == 1 || proptest.Long() {
		return ways
	}
	few := maps.Clone(ways)
	maps.DeleteFunc(few, func(what string, _ func(*program) bool) bool { return what != madeAnew && what != importedLonger })
	return few
}

// The directory of the server is rolled back to what it was, as a snapshot of its disk is.
func TestAServerThatIsRolledBackIsNoticed(t *testing.T) {
	server := eventstoretest.NewServer(t)
	p := launch(t, server.JetStream(t), server.JetStream(t), "bank", 1)
	p.rollBack(server)
}

func TestAClusterThatIsRolledBackIsNoticed(t *testing.T) {
	if !proptest.Long() {
		t.Skip("its elections take a while")
	}
	cluster := eventstoretest.NewCluster(t, 3, eventstoretest.Memory())
	p := launch(t, cluster.JetStream(t), cluster.JetStream(t), "bank", 3)
	p.rollBack(cluster.Nodes()...)
}

// rollBack takes the directories of servers back to some commits before, under load.
func (p *program) rollBack(nodes ...*eventstoretest.Server) {
	kept := make([]string, len(nodes))
	for i, node := range nodes {
		node.Stop()
		kept[i] = p.t.TempDir()
		require.NoError(p.t, os.CopyFS(kept[i], os.DirFS(node.StoreDir())))
	}
	for _, node := range nodes {
		node.Restart()
	}
	require.Eventually(p.t, func() bool { _, err := p.store.End(p.t.Context()); return err == nil }, time.Minute, 50*time.Millisecond)
	p.fill(10)
	ctx, cancel := context.WithTimeout(p.t.Context(), 2*time.Minute)
	defer cancel()
	p.load(ctx)
	for i, node := range nodes {
		node.Stop()
		require.NoError(p.t, os.RemoveAll(node.StoreDir()))
		require.NoError(p.t, os.CopyFS(node.StoreDir(), os.DirFS(kept[i])))
	}
	for _, node := range nodes {
		node.Restart()
	}
	p.running.Wait()
	p.allEnded()
	p.refuses()
}

// allEnded makes sure that all parts of the program were told. The view may have met first that its buckets are not
// what they were.
func (p *program) allEnded() {
	p.t.Helper()
	for what, e := range p.ended {
		require.Error(p.t, e.err, what)
		if what != "view" {
			require.ErrorIs(p.t, e.err, eventstore.ErrLogRewound, what)
		}
	}
}

// A stream on one node of a cluster is lost with its node, and made anew on another. The connection is to a third.
func TestAStreamThatIsRemadeOnAnotherNodeIsNoticed(t *testing.T) {
	t.Parallel()
	cluster := eventstoretest.NewCluster(t, 3, eventstoretest.Memory())
	first, err := eventstore.Open(t.Context(), cluster.JetStream(t), "bank", events, &eventstore.Config{Replicas: 1})
	require.NoError(t, err)
	require.NoError(t, first.Close())
	leader := cluster.StreamLeader(t, "bank")
	third := cluster.Nodes()[0]
	if third == leader {
		third = cluster.Nodes()[1]
	}
	p := launch(t, third.JetStream(t), third.JetStream(t), "bank", 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p.load(ctx)
	before := p.mark()
	cfg := p.config()
	leader.Stop()
	p.remake(cfg)
	replaced := time.Now()
	require.NotEqual(t, leader, cluster.StreamLeader(t, "bank"))
	p.running.Wait()
	leader.Restart() // it may have the bucket of the mark
	require.Eventually(t, func() bool { return p.mark() != highWater{} }, time.Minute, 50*time.Millisecond)
	p.told(replaced, before, true)
}

// The client reconnects to another server, where somebody has a store of the same name.
func TestAConnectionThatMovesToAnotherLogIsNoticed(t *testing.T) {
	server, elsewhere := eventstoretest.NewServer(t), eventstoretest.NewServer(t)
	other, err := eventstore.Open(t.Context(), elsewhere.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	require.NoError(t, other.Close())
	proxy := eventstoretest.NewProxy(t, server.URL())
	nc, err := nats.Connect(proxy.URL()+","+elsewhere.URL(), nats.DontRandomize(), nats.ReconnectBufSize(-1), nats.MaxReconnects(-1),
		nats.ReconnectWait(10*time.Millisecond), nats.IgnoreDiscoveredServers())
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	p := launch(t, js, server.JetStream(t), "bank", 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p.load(ctx)
	proxy.Cut()
	p.running.Wait()
	p.allEnded()
	p.refuses()
	mark := p.mark()
	require.Equal(t, mark.Position, p.acked[mark.Commit])
}

func TestABucketOfTheMarkThatIsDeletedIsMadeAnew(t *testing.T) {
	server := eventstoretest.NewServer(t)
	p := launch(t, server.JetStream(t), server.JetStream(t), "bank", 1)
	require.NoError(t, p.operator.DeleteKeyValue(t.Context(), "bank_control"))
	last := p.fill(1)
	require.Eventually(t, func() bool { return p.mark().Position == last }, 20*time.Second, 10*time.Millisecond)
}

func TestAPositionThatTheLogDoesNotHaveIsNotReadBehind(t *testing.T) {
	server := eventstoretest.NewServer(t)
	launch(t, server.JetStream(t), server.JetStream(t), "bank", 1)
	reader, err := eventstore.Open(t.Context(), server.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	defer reader.Close()
	ctx := t.Context()
	for what, read := range map[string]func(eventstore.Position) error{
		"log": func(after eventstore.Position) error {
			return ended(reader.Log(ctx, eventstore.After(after)))
		},
		"until": func(after eventstore.Position) error {
			return ended(reader.Log(ctx, eventstore.After(after), eventstore.Live(), eventstore.Until(after)))
		},
		"load": func(after eventstore.Position) error {
			_, err := reader.Load(ctx, account("filled"), eventstore.After(after))
			return err
		},
		"backwards": func(after eventstore.Position) error {
			return ended(reader.Stream(ctx, account("filled"), eventstore.Backwards(), eventstore.After(after)))
		},
		"replay": func(after eventstore.Position) error {
			_, err := reader.Replay(ctx, func(eventstore.Recorded) error { return nil }, eventstore.After(after))
			return err
		},
		"replay of a stream": func(after eventstore.Position) error {
			_, err := reader.Replay(ctx, func(eventstore.Recorded) error { return nil }, eventstore.After(after), eventstore.OfStream(account("filled")))
			return err
		},
	} {
		require.NoError(t, read(20), what)
		err := read(21)
		require.ErrorIs(t, err, eventstore.ErrPositionAhead, what)
		require.ErrorContains(t, err, "read bank after position 21: position beyond the log's end, which is at 20", what)
	}
}

// A replica that has been alone for ten seconds describes the stream as it has it, perhaps without what was
// acknowledged last.
func TestAReplicaThatIsLeftAloneIsNotBelieved(t *testing.T) {
	if !proptest.Long() {
		t.Skip("it takes the ten seconds")
	}
	cluster := eventstoretest.NewCluster(t, 3, eventstoretest.Memory())
	alone := cluster.Nodes()[0]
	js := alone.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", events, &eventstore.Config{Replicas: 3, ReadTimeout: time.Second})
	require.NoError(t, err)
	defer store.Close()
	_, err = store.Append(t.Context(), account("1"), eventstore.Head{}, deposited{1})
	require.NoError(t, err)
	for _, node := range cluster.Nodes()[1:] {
		node.Stop()
	}
	require.Eventually(t, func() bool { _, err := js.Stream(t.Context(), "bank"); return err == nil }, time.Minute, 100*time.Millisecond)
	_, err = store.End(t.Context())
	require.ErrorIs(t, err, eventstore.ErrUnavailable)
	require.NoError(t, eventstore.Inside(inside.Pass{}, store).Err())
}

func TestAStreamIsReadBehindAPositionWithThePatienceOfARead(t *testing.T) {
	server := eventstoretest.NewServer(t)
	proxy := server.Proxy(t)
	store, err := eventstore.Open(t.Context(), proxy.JetStream(t), "bank", events, &eventstore.Config{ReadTimeout: 200 * time.Millisecond})
	require.NoError(t, err)
	defer store.Close()
	proxy.Cut()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err = ended(store.Stream(ctx, account("1"), eventstore.Backwards(), eventstore.After(7)))
	require.ErrorIs(t, err, eventstore.ErrUnavailable)
}
