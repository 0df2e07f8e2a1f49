package projection

import "github.com/nats-io/nats.go"

// Counters says how often a View had to do more than the usual, since it was made.
type Counters struct {
	Torn int64 // times that a power cut had left half of a batch in the bucket, and the view was built anew
}

// Counters returns the view's counters, as far as this View was concerned.
func (v *View[V]) Counters() Counters { return Counters{Torn: v.torn.Load()} }

func (v *View[V]) conn() *nats.Conn { return v.store.JetStream().Conn() }

// server is the id of the server that the connection is to, or empty if there is no connection. A server that was
// restarted has another id. It may have come up from a power cut, so what it lost, or has half of, is looked for.
func (v *View[V]) server() string { return v.conn().ConnectedServerId() }
