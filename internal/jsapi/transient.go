package jsapi

import (
	"context"
	"errors"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Codes of the JetStream API that a publish never gets and that pass; see nats-server's errors.json.
const (
	codeClusterIncomplete     jetstream.ErrorCode = 10004 // not all servers have answered
	codeClusterNotAssigned    jetstream.ErrorCode = 10007 // a stream or consumer is being moved
	codeConsumerCreate        jetstream.ErrorCode = 10012 // a consumer cannot be made, for a reason that is only text
	codeConsumerStoreFailed   jetstream.ErrorCode = 10104
	codeConsumerOffline       jetstream.ErrorCode = 10119
	codeConsumerOfflineReason jetstream.ErrorCode = 10195
	codeNotEnabled            jetstream.ErrorCode = 10076 // the server ends, or its disk is full
	codePeerRemap             jetstream.ErrorCode = 10075
	codeRaft                  jetstream.ErrorCode = 10041 // the leader changes
	codeNoPeers               jetstream.ErrorCode = 10005 // too few servers for the replicas: passes if one is away
)

// consumerClosed is the text of the refusal of a consumer whose stream is deleted, or whose server stops, while the
// consumer is made.
const consumerClosed = "consumer closed"

// Transient reports whether an error of this package, of nats.go or of the server passes, so that the same call
// may succeed later. It passes if the connection is interrupted, no answer came in time, there is no leader or
// no quorum, or a server cannot store at the moment. It does not pass if the connection or the Client is
// closed, or if the server refuses for a reason that does not pass.
//
// A caller whose own context may have ended must check that first, because the deadline of another context
// passes.
func Transient(err error) bool {
	for _, final := range []error{
		nats.ErrConnectionClosed, nats.ErrConnectionDraining, jetstream.ErrConnectionClosed, ErrClosed, nats.ErrPermissionViolation,
		jetstream.ErrStreamNotFound, nats.ErrMaxSubscriptionsExceeded,
	} {
		if errors.Is(err, final) {
			return false
		}
	}
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return passes(api.ErrorCode) ||
			api.ErrorCode == codeNoPeers && strings.Contains(api.Description, "peer offline") ||
			api.ErrorCode == codeConsumerCreate && api.Description == consumerClosed
	}
	for _, passing := range []error{
		ErrNoReply, ErrSilent, nats.ErrNoResponders, nats.ErrTimeout, context.DeadlineExceeded,
		nats.ErrConnectionReconnecting, nats.ErrDisconnected, nats.ErrStaleConnection,
		jetstream.ErrNoHeartbeat, jetstream.ErrServerShutdown, jetstream.ErrConsumerLeadershipChanged,
	} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return NotSent(err) && !isMalformedRequest(err)
}

// passes reports whether the server's refusal passes.
func passes(code jetstream.ErrorCode) bool {
	switch code {
	case codeStoreFailed, codeSequenceNotMatch, codeLastSequenceNotReady, codeClusterIncomplete, codeClusterNotAssigned, codeConsumerStoreFailed,
		codeConsumerOffline, codeConsumerOfflineReason, codeNotEnabled, codePeerRemap, codeRaft:
		return true
	}
	return classOf(code) == Unavailable
}

// isMalformedRequest reports whether a request was not sent because of its form, so that no repetition helps.
func isMalformedRequest(err error) bool {
	for _, malformed := range []error{nats.ErrMaxPayload, nats.ErrBadSubject, nats.ErrHeadersNotSupported, nats.ErrInvalidConnection} {
		if errors.Is(err, malformed) {
			return true
		}
	}
	return false
}
