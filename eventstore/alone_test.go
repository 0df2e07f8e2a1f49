package eventstore_test

import (
	"bytes"
	"net"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// hubAndLeaf are two servers with a JetStream domain each, joined as a leaf node, so that what is published at one
// comes to both.
func hubAndLeaf(t *testing.T) (hub, leaf jetstream.JetStream) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := listener.Addr().(*net.TCPAddr).Port
	require.NoError(t, listener.Close())
	center := eventstoretest.NewServer(t, eventstoretest.Options(func(o *server.Options) {
		o.ServerName, o.JetStreamDomain = "hub", "hub"
		o.LeafNode.Host, o.LeafNode.Port = "127.0.0.1", port
	}))
	edge := eventstoretest.NewServer(t, eventstoretest.Options(func(o *server.Options) {
		o.ServerName, o.JetStreamDomain = "leaf", "leaf"
		o.LeafNode.Remotes = []*server.RemoteLeafOpts{{URLs: []*url.URL{{Scheme: "nats-leaf", Host: "127.0.0.1:" + strconv.Itoa(port)}}}}
	}))
	require.Eventually(t, func() bool { return edge.NATS().NumLeafNodes() == 1 && center.NATS().NumLeafNodes() == 1 }, 20*time.Second, 10*time.Millisecond)
	return center.JetStream(t), edge.JetStream(t)
}

func TestOneNameInTwoDomainsIsRefusedByName(t *testing.T) {
	hub, leaf := hubAndLeaf(t)
	store, err := eventstore.Open(t.Context(), hub, "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	_, err = store.Append(t.Context(), account("1"), eventstore.Head{}, deposited{1})
	require.NoError(t, err, "a domain alone is no fault")

	other, err := eventstore.Open(t.Context(), leaf, "bank", events, nil)
	require.ErrorIs(t, err, eventstore.ErrSettings)
	require.ErrorContains(t, err, "bank")
	require.Nil(t, other)

	// The first, which is open, has the other's acknowledgement beside its own.
	id := 1
	require.Eventually(t, func() bool {
		id++
		_, err := store.Append(t.Context(), account(strconv.Itoa(id)), eventstore.Head{}, deposited{1})
		if err == nil {
			return false
		}
		require.ErrorIs(t, err, eventstore.ErrSettings)
		require.ErrorContains(t, err, "stream bank of domain leaf")
		return true
	}, 20*time.Second, 10*time.Millisecond)
	_, err = store.Load(t.Context(), account("1"))
	require.ErrorIs(t, err, eventstore.ErrSettings)
	for _, err := range store.All(t.Context(), eventstore.Live()) {
		require.ErrorIs(t, err, eventstore.ErrSettings)
	}
}

// The connection's API leads to the hub, and what is published is taken by the leaf first.
func TestAContextOfAnotherDomainIsRefusedWhereTheOwnAnswers(t *testing.T) {
	hub, leaf := hubAndLeaf(t)
	there, err := eventstore.Open(t.Context(), hub, "bank", events, nil)
	require.NoError(t, err)
	require.NoError(t, there.Close())
	throughLeaf, err := jetstream.NewWithDomain(leaf.Conn(), "hub")
	require.NoError(t, err)
	store, err := eventstore.Open(t.Context(), throughLeaf, "bank", events, nil)
	require.NoError(t, err, "there is one stream of the name")
	defer store.Close()
	_, err = store.Append(t.Context(), account("1"), eventstore.Head{}, deposited{1})
	require.NoError(t, err)

	stream, err := hub.Stream(t.Context(), "bank")
	require.NoError(t, err)
	_, err = leaf.CreateStream(t.Context(), stream.CachedInfo().Config)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err = store.Append(t.Context(), account("2"), eventstore.Head{}, deposited{1})
		return isTold(err)
	}, 20*time.Second, 10*time.Millisecond)
	require.ErrorIs(t, err, eventstore.ErrSettings, "the other answers at a position that was given out before, too")
	_, err = eventstore.Open(t.Context(), throughLeaf, "bank", events, nil)
	require.ErrorIs(t, err, eventstore.ErrSettings)
}

func TestReadsOfAnotherLogAreRefused(t *testing.T) {
	server, elsewhere := eventstoretest.NewServer(t), eventstoretest.NewServer(t)
	own, err := eventstore.Open(t.Context(), server.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	_, err = own.Append(t.Context(), account("1"), eventstore.Head{}, deposited{1})
	require.NoError(t, err)
	archive := export(t, own)
	require.NoError(t, own.Close())
	with := func(reads jetstream.JetStream) error {
		store, err := eventstore.Open(t.Context(), server.JetStream(t), "bank", events, &eventstore.Config{Reads: reads})
		if err == nil {
			require.Len(t, decode(t, store.All(t.Context())), 1)
			require.NoError(t, store.Close())
		}
		return err
	}
	js := elsewhere.JetStream(t)
	refused := func(why string) {
		t.Helper()
		err := with(elsewhere.JetStream(t))
		require.ErrorIs(t, err, eventstore.ErrSettings)
		require.ErrorContains(t, err, why)
	}
	require.NoError(t, with(server.JetStream(t)))
	refused("no stream bank")
	other, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	require.NoError(t, other.Close())
	refused("another store of this name")
	require.NoError(t, js.DeleteStream(t.Context(), "bank"))
	require.NoError(t, importInto(js, archive, nil))
	refused("a copy of the store")
	require.NoError(t, with(server.JetStream(t)), "and nothing was written")
}

// The connection for reads comes back to a server that has another log.
func TestReadsThatMoveToAnotherLogEnd(t *testing.T) {
	server, elsewhere := eventstoretest.NewServer(t), eventstoretest.NewServer(t)
	proxy := eventstoretest.NewProxy(t, server.URL())
	nc, err := nats.Connect(proxy.URL()+","+elsewhere.URL(), nats.DontRandomize(), nats.ReconnectBufSize(-1), nats.MaxReconnects(-1),
		nats.ReconnectWait(10*time.Millisecond), nats.IgnoreDiscoveredServers())
	require.NoError(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	store, err := eventstore.Open(t.Context(), server.JetStream(t), "bank", events, &eventstore.Config{Reads: js})
	require.NoError(t, err)
	defer store.Close()
	c, err := store.Append(t.Context(), account("1"), eventstore.Head{}, deposited{1})
	require.NoError(t, err)
	require.Len(t, decode(t, store.All(t.Context())), 1)
	other, err := eventstore.Open(t.Context(), elsewhere.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	for i := range 5 {
		_, err = other.Append(t.Context(), account(strconv.Itoa(i)), eventstore.Head{}, deposited{9})
		require.NoError(t, err)
	}
	require.NoError(t, other.Close())

	proxy.Cut()
	require.Eventually(t, func() bool { return nc.ConnectedUrl() == elsewhere.URL() }, 20*time.Second, 10*time.Millisecond)
	for _, err := range store.All(t.Context(), eventstore.Live()) {
		require.ErrorIs(t, err, eventstore.ErrSettings)
	}
	_, err = store.Append(t.Context(), account("1"), c.Head(), deposited{1})
	require.NoError(t, err, "appends do not go that way")
}

func TestAStoreIsNotNamedLikeAnInbox(t *testing.T) {
	srv := eventstoretest.NewServer(t)
	for _, test := range []struct {
		name, prefix string
		refused      bool
	}{
		{"_INBOX", "", true},
		{"_R_", "", true},
		{"bank", "bank", true},
		{"bank", "bank.app", true},
		{"bank", "bank.app.replies", false}, // replies have four levels and more
		{"bank", "banker", false},
		{"bank", "_INBOX.bank", false},
	} {
		var options []nats.Option
		if test.prefix != "" {
			options = append(options, nats.CustomInboxPrefix(test.prefix))
		}
		js, err := jetstream.New(srv.Connect(t, options...))
		require.NoError(t, err)
		for role, cfg := range map[string]*eventstore.Config{"all": nil, "reads": {Reads: js}} {
			on := js
			if role == "reads" {
				on = srv.JetStream(t)
			}
			store, err := eventstore.Open(t.Context(), on, test.name, events, cfg)
			if test.refused {
				require.ErrorIs(t, err, eventstore.ErrInvalidID, "%v %s", test, role)
				continue
			}
			require.NoError(t, err, "%v %s", test, role)
			require.NoError(t, store.Close())
		}
	}
}

func TestAnotherStreamInTheAccountIsRefusedByName(t *testing.T) {
	js := eventstoretest.JetStream(t)
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "everything", Subjects: []string{"bank.account.>"}})
	require.NoError(t, err)
	_, err = eventstore.Open(t.Context(), js, "bank", events, nil)
	require.ErrorIs(t, err, eventstore.ErrSettings)
	require.ErrorContains(t, err, "stream everything takes subjects of bank.*.*")
}

// A program that replies to publishes for the store may be taken for it.
func TestAProgramThatAnswersForTheStoreIsRefused(t *testing.T) {
	js := eventstoretest.JetStream(t)
	sub, err := js.Conn().Subscribe("bank.>", func(msg *nats.Msg) { _ = msg.Respond([]byte("unknown request")) })
	require.NoError(t, err)
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	if err == nil { // the program was slower, and is found out at the first use
		defer store.Close()
		require.Eventually(t, func() bool {
			_, err = store.Load(t.Context(), account("1"))
			return err != nil
		}, 20*time.Second, 10*time.Millisecond)
	}
	require.ErrorIs(t, err, eventstore.ErrSettings)
	require.ErrorContains(t, err, `a program that replies "unknown request"`)
	require.NoError(t, sub.Unsubscribe())

	store, err = eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	sub, err = js.Conn().Subscribe("bank.account.1", func(msg *nats.Msg) { _ = msg.Respond([]byte(`{"stream":"everything","seq":70}`)) })
	require.NoError(t, err)
	defer func() { require.NoError(t, sub.Unsubscribe()) }()
	require.Eventually(t, func() bool {
		_, err := store.Append(t.Context(), account("1"), eventstore.Head{}, deposited{1})
		if !isTold(err) {
			return false
		}
		require.ErrorContains(t, err, "answered by stream everything")
		return true
	}, 20*time.Second, 10*time.Millisecond)
}

// Another account's stream takes what is published too, by a service that is imported.
func TestAStreamOfAnotherAccountThatIsImportedIsRefused(t *testing.T) {
	srv := eventstoretest.NewServer(t, eventstoretest.Options(func(o *server.Options) {
		own, other := server.NewAccount("OWN"), server.NewAccount("OTHER")
		o.Accounts = []*server.Account{own, other}
		o.Users = []*server.User{{Username: "own", Password: "x", Account: own}, {Username: "other", Password: "x", Account: other}}
	}))
	as := func(user string) jetstream.JetStream {
		js, err := jetstream.New(srv.Connect(t, nats.UserInfo(user, "x")))
		require.NoError(t, err)
		return js
	}
	var accounts []*server.Account
	for _, name := range []string{"OWN", "OTHER"} {
		account, err := srv.NATS().LookupAccount(name)
		require.NoError(t, err)
		require.NoError(t, account.EnableJetStream(nil, nil))
		accounts = append(accounts, account)
	}
	other, err := eventstore.Open(t.Context(), as("other"), "bank", events, nil)
	require.NoError(t, err)
	defer other.Close()
	js := as("own")
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	require.NoError(t, store.Close())

	require.NoError(t, accounts[1].AddServiceExport("bank.>", nil))
	require.NoError(t, accounts[0].AddServiceImport(accounts[1], "bank.>", "bank.>"))
	store, err = eventstore.Open(t.Context(), js, "bank", events, nil)
	if err == nil {
		defer store.Close()
		require.Eventually(t, func() bool {
			_, err = store.Load(t.Context(), account("1"))
			return err != nil
		}, 20*time.Second, 10*time.Millisecond)
	}
	require.ErrorIs(t, err, eventstore.ErrSettings)
}

func TestStreamsOfTheToolkitAreNotErased(t *testing.T) {
	store := open(t, &eventstore.Config{Erasure: true})
	_, err := store.Append(t.Context(), account("1"), eventstore.Head{}, deposited{1})
	require.NoError(t, err)
	require.NoError(t, store.Erase(t.Context(), account("1"), "asked for"))
	for _, id := range []string{"erased", "anything"} {
		err := store.Erase(t.Context(), eventstore.StreamID{Category: "runnel", ID: id}, "all of them")
		require.ErrorIs(t, err, eventstore.ErrInvalidID)
	}
	require.Empty(t, decode(t, store.All(t.Context(), eventstore.Categories("account"), eventstore.Types("account.deposited"))))
}

// A server alone may name a cluster, for the leaf nodes that it takes. It keeps no three replicas.
func TestAServerAloneThatNamesAClusterKeepsOneReplica(t *testing.T) {
	hub := eventstoretest.NewServer(t, eventstoretest.Options(func(o *server.Options) { o.Cluster.Name = "hub" })).JetStream(t)
	require.NotEmpty(t, hub.Conn().ConnectedClusterName())
	store := open(t, nil)
	grow(t, store, "a", 1, 2)
	var archive bytes.Buffer
	_, err := store.Export(t.Context(), &archive, nil)
	require.NoError(t, err)
	_, err = eventstore.Import(t.Context(), hub, &archive, nil)
	require.NoError(t, err)
	imported, err := eventstore.Open(t.Context(), hub, "bank", events, nil)
	require.NoError(t, err)
	defer imported.Close()
	made, err := eventstore.Open(t.Context(), hub, "other", events, nil)
	require.NoError(t, err)
	defer made.Close()
	for _, name := range []string{"bank", "other", "KV_other_control"} {
		stream, err := hub.Stream(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, 1, stream.CachedInfo().Config.Replicas)
	}
}
