package eventstoretest

import (
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Limited starts a server and returns JetStream in an account with the limits that edit sets, and no other
// limits.
func Limited(t testing.TB, edit func(*server.JetStreamAccountLimits), opts ...Option) jetstream.JetStream {
	t.Helper()
	srv := NewServer(t, append(opts, Options(func(o *server.Options) {
		account := server.NewAccount("LIMITED")
		o.Accounts = []*server.Account{account}
		o.Users = []*server.User{{Username: "limited", Password: "limited", Account: account}}
	}))...)
	limits := server.JetStreamAccountLimits{
		MaxMemory: -1, MaxStore: -1, MaxStreams: -1, MaxConsumers: -1, MaxAckPending: -1, MemoryMaxStreamBytes: -1, StoreMaxStreamBytes: -1,
	}
	edit(&limits)
	if srv.place != nil && limits.MaxStore > 0 {
		limits.MaxStore *= int64(len(srv.nodes())) // each replica counts
	}
	for _, node := range srv.nodes() {
		account, err := node.NATS().LookupAccount("LIMITED")
		if err != nil {
			t.Fatal(err)
		}
		if err := account.EnableJetStream(map[string]server.JetStreamAccountLimits{"": limits}, nil); err != nil {
			t.Fatal(err)
		}
	}
	return srv.JetStream(t, nats.UserInfo("limited", "limited"))
}

// nodes are the servers that the server stands for.
func (s *Server) nodes() []*Server {
	if s.place != nil {
		return s.place.nodes
	}
	return []*Server{s}
}
