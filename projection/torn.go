package projection

import "github.com/nats-io/nats.go"

func (v *View[V]) conn() *nats.Conn { return v.store.JetStream().Conn() }

// server is the id of the server that the connection is to, or empty if there is no connection. A server that was
// restarted has another id. It may have come up from a power cut, so what it lost, or has half of, is looked for.
func (v *View[V]) server() string { return v.conn().ConnectedServerId() }
