package natsrun

import (
	"context"
	"slices"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// ConnState is the state of a connection.
type ConnState string

// The states of a connection, from best to worst.
const (
	Connected    ConnState = "connected"
	Reconnecting ConnState = "reconnecting" // the client sends nothing and reconnects by itself
	Closed       ConnState = "closed"       // for good, by Close or by the client
)

// Health is the condition of a [Runtime] at one moment.
type Health struct {
	State      ConnState  `json:"state"`      // the worse of Commands and Reads
	Commands   ConnState  `json:"commands"`   // of the connection behind Runtime.Commands
	Reads      ConnState  `json:"reads"`      // of the connection behind Runtime.Reads
	Server     string     `json:"server"`     // "embedded", or the URL of the last connected server, without secrets
	JetStream  bool       `json:"jetstream"`  // false if nothing can be stored, see Runtime.Health
	Durability Durability `json:"durability"` // with Replicas 0 on a remote server
}

// Ready reports whether the program can serve commands: both connections are up, and messages can be stored.
func (h Health) Ready() bool { return h.State == Connected && h.JetStream }

// Health returns the condition of both connections and reports whether messages can be stored. It is safe for
// concurrent use.
//
// An embedded server stores nothing if it has stopped, if it has switched JetStream off after a disk error, or if a
// sync has failed. Health also counts a server as unable to store if one of its streams could not write a file,
// because that stream takes no more messages until the program is started again. This check needs only memory.
//
// Health asks a remote server whether JetStream works, and waits up to one second. It asks only if the server answered
// the same question when the Runtime was opened. Whether one store takes events is another question, because its
// JetStream stream has a leader of its own: ask the store.
func (rt *Runtime) Health() Health {
	h := Health{
		Commands:   rt.commands.state(),
		Reads:      rt.reads.state(),
		Server:     rt.commands.server.Load().(string),
		JetStream:  true,
		Durability: rt.Durability(0),
	}
	h.State = worse(h.Commands, h.Reads)
	if rt.embedded != nil {
		h.Server = "embedded"
		h.JetStream = rt.embedded.stores()
	} else if rt.tells && h.Commands == Connected {
		h.JetStream = rt.answers()
	}
	return h
}

// answerTime is how long a remote server may take to answer Health.
const answerTime = time.Second

// answers reports whether JetStream of a remote server works.
func (rt *Runtime) answers() bool {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	_, err := rt.commands.js.AccountInfo(ctx)
	return err == nil
}

// stores reports whether messages that are stored from now on can be acknowledged.
func (e *embedded) stores() bool {
	return e.server.JetStreamEnabled() && (e.group == nil || e.group.disk.Failed() == nil) && e.writes()
}

// writes reports whether the server can write all of its streams. The server may report an error for a stream that is
// created or deleted at this moment. So an error counts only if its stream still exists.
func (e *embedded) writes() bool {
	for range 3 {
		health := e.server.Healthz(&server.HealthzOptions{Details: true})
		if len(health.Errors) == 0 {
			return true
		}
		account, err := e.server.JszAccount(&server.JSzOptions{Account: server.DEFAULT_GLOBAL_ACCOUNT, Streams: true})
		if err != nil {
			return false
		}
		gone := func(wrong server.HealthzError) bool {
			return wrong.Stream != "" && !slices.ContainsFunc(account.Streams, func(s server.StreamDetail) bool { return s.Name == wrong.Stream })
		}
		if len(slices.DeleteFunc(health.Errors, gone)) == 0 {
			return true
		}
	}
	return false
}

func (c *conn) state() ConnState {
	select {
	case <-c.closed:
		return Closed
	default:
	}
	if c.down.Load() {
		return Reconnecting
	}
	switch c.nc.Status() {
	case nats.CLOSED:
		return Closed
	case nats.CONNECTED, nats.DRAINING_SUBS, nats.DRAINING_PUBS:
		return Connected
	default:
		return Reconnecting
	}
}

func worse(a, b ConnState) ConnState {
	switch {
	case a == Closed || b == Closed:
		return Closed
	case a == Reconnecting || b == Reconnecting:
		return Reconnecting
	default:
		return Connected
	}
}
