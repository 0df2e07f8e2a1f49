package jsapi

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
)

// Interrupted reports whether an error says no more than that no answer came for a while: from this package, or from nats.go.
// The caller knows whether its own context has ended.
func Interrupted(err error) bool {
	for _, reason := range []error{
		ErrNoReply, context.DeadlineExceeded, nats.ErrTimeout, nats.ErrNoResponders,
		nats.ErrReconnectBufExceeded, nats.ErrConnectionReconnecting, // what publishing says while there is no connection
	} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}
