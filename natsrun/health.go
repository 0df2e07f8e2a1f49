package natsrun

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// State is what a connection is doing.
type State string

// The states, from best to worst.
const (
	Connected    State = "connected"
	Reconnecting State = "reconnecting" // nothing is sent; the client tries by itself
	Closed       State = "closed"       // for good, by Close or by the client
)

// Health is the condition of a [Runtime] at one moment.
type Health struct {
	State      State      `json:"state"`      // the worse of the two below
	Commands   State      `json:"commands"`   // the connection behind Commands
	Reads      State      `json:"reads"`      // the connection behind Reads
	Server     string     `json:"server"`     // "embedded", or the URL that Commands is or was connected to, without secrets
	JetStream  bool       `json:"jetstream"`  // false: nothing can be stored, see Runtime.Health
	Durability Durability `json:"durability"` // with Replicas 0 where they are a stream's own business
}

// Ready reports whether commands can be served: both connections are up, and
// what they send can be stored.
func (h Health) Ready() bool { return h.State == Connected && h.JetStream }

// Health looks at both connections and at whether the server stores.
//
// An embedded server does not where it has stopped, has switched JetStream off
// after a disk error, where a sync failed, or where it could not write a file of
// any of its streams, which then takes no more until the program is started
// again. It is looked at in memory.
//
// Remote servers are asked, for a second at most, where they answered such a
// question when the Runtime was opened: they do not store where JetStream has no
// leader, or answers no more. What is wrong with one stream alone they do not
// tell.
func (rt *Runtime) Health() Health {
	h := Health{
		Commands:   rt.commands.state(),
		Reads:      rt.reads.state(),
		Server:     rt.commands.nc.ConnectedUrlRedacted(),
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

// answerTime is how long remote servers have to say that JetStream works.
const answerTime = time.Second

// answers reports whether JetStream of remote servers works.
func (rt *Runtime) answers() bool {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	_, err := rt.commands.js.AccountInfo(ctx)
	return err == nil
}

// stores reports whether what is stored from now on can be acknowledged.
func (e *embedded) stores() bool {
	return e.server.JetStreamEnabled() && (e.group == nil || e.group.disk.Failed() == nil) && e.writes()
}

// writes reports whether the server can write each of its streams. What it says
// of a stream that is made or deleted at this moment is not believed: one that
// cannot be written is there, and is named again.
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

func (c *conn) state() State {
	switch c.nc.Status() {
	case nats.CLOSED:
		return Closed
	case nats.CONNECTED, nats.DRAINING_SUBS, nats.DRAINING_PUBS:
		return Connected
	default:
		return Reconnecting
	}
}

func worse(a, b State) State {
	switch {
	case a == Closed || b == Closed:
		return Closed
	case a == Reconnecting || b == Reconnecting:
		return Reconnecting
	default:
		return Connected
	}
}

// Durability is what has to fail before an acknowledged message is lost: how
// many servers hold it, and whether it is on their disks.
type Durability struct {
	Embedded bool `json:"embedded"`
	Replicas int  `json:"replicas"` // of the stream; 1 if embedded; 0 if not known
	Sync     Sync `json:"sync"`     // SyncUnknown unless embedded
}

// Durability returns the grade of a file-based stream with that many replicas,
// 0 if the caller does not know. An embedded server holds one of everything.
func (rt *Runtime) Durability(replicas int) Durability {
	if rt.embedded != nil {
		return Durability{Embedded: true, Replicas: 1, Sync: rt.embedded.sync}
	}
	return Durability{Replicas: max(0, replicas), Sync: SyncUnknown}
}

// String says in plain words what a kill, a power cut and a lost disk do.
func (d Durability) String() string {
	where := "cluster"
	if d.Embedded {
		where = "embedded server"
	}
	return fmt.Sprintf("%s, %s, sync %s. Kill: %s. Power cut: %s. Lost disk: %s.",
		where, d.copies(), d.Sync, d.kill(), d.powerCut(), d.lostDisk())
}

func (d Durability) copies() string {
	switch d.Replicas {
	case 0:
		return "replicas unknown"
	case 1:
		return "1 replica"
	default:
		return fmt.Sprintf("%d replicas", d.Replicas)
	}
}

// spare is how many servers a stream can do without.
func (d Durability) spare() int { return max(0, (d.Replicas-1)/2) }

func (d Durability) kill() string {
	if n := d.spare(); n > 0 {
		return fmt.Sprintf("nothing acknowledged is lost, and %s may be down while the rest work on", servers(n))
	}
	return "nothing acknowledged is lost; the store is away until the server is back"
}

func (d Durability) powerCut() string {
	var parts []string
	if n := d.spare(); n > 0 {
		parts = append(parts, fmt.Sprintf("of %s at a time nothing acknowledged is lost; of more", servers(n)))
	}
	switch d.Sync {
	case SyncGroup:
		parts = append(parts, "nothing that a store or a bucket acknowledged is lost; of what is published past them, up to two minutes")
	case SyncAlways:
		parts = append(parts, "nothing acknowledged is lost")
	case SyncNone:
		parts = append(parts, "up to two minutes of acknowledged messages are lost, and a transaction may be torn")
	default:
		parts = append(parts, "unknown, ask your operator whether sync_interval is always")
	}
	return strings.Join(parts, " ")
}

func (d Durability) lostDisk() string {
	switch {
	case d.spare() > 0:
		return fmt.Sprintf("nothing is lost with the disks of %s", servers(d.spare()))
	case d.Replicas == 0:
		return "unknown, it depends on the replicas"
	default:
		return "everything since the last backup may be lost"
	}
}

func servers(n int) string {
	if n == 1 {
		return "1 server"
	}
	return fmt.Sprintf("%d servers", n)
}
