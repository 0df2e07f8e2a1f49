package jsapi_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/internal/jsapi"
)

func refusal(code jetstream.ErrorCode, text string) error {
	return fmt.Errorf("consumer: %w", &jetstream.APIError{Code: 503, ErrorCode: code, Description: text})
}

func TestWhatPassesIsToldFromWhatStays(t *testing.T) {
	for _, passing := range []error{
		refusal(10005, "no suitable peers for placement, peer offline"),
		refusal(10008, "JetStream system temporarily unavailable"),
		refusal(10009, "JetStream cluster can not handle request"),
		refusal(10012, "consumer closed"),
		refusal(10041, "not leader"),
		refusal(10076, "JetStream not enabled"),
		refusal(10077, "no space left on device"),
		refusal(10104, "no space left on device"),
		refusal(10118, "stream is offline"),
		refusal(10119, "consumer is offline"),
		nats.ErrNoResponders, nats.ErrTimeout, nats.ErrReconnectBufExceeded, nats.ErrConnectionReconnecting, nats.ErrDisconnected,
		jetstream.ErrNoHeartbeat, jetstream.ErrServerShutdown, jetstream.ErrConsumerLeadershipChanged,
		jsapi.ErrNoReply, jsapi.ErrNoConnection, jsapi.ErrSilent, context.DeadlineExceeded,
		errors.Join(errors.New("it failed"), jsapi.ErrNoReply),
	} {
		require.True(t, jsapi.Transient(passing), passing)
		require.False(t, jsapi.IsRefusal(passing), passing)
	}
	for _, staying := range []error{
		nil, errors.New("it failed"), context.Canceled, jsapi.ErrNotFound, jsapi.ErrMalformed, jsapi.ErrClosed,
		nats.ErrConnectionClosed, nats.ErrConnectionDraining, nats.ErrPermissionViolation, nats.ErrMaxPayload, nats.ErrBadSubject,
		jetstream.ErrStreamNotFound, jetstream.ErrConsumerNotFound, jetstream.ErrJetStreamNotEnabledForAccount,
		refusal(10005, "no suitable peers for placement, insufficient storage"),
		refusal(10012, "deliver policy can not be updated"),
		refusal(10026, "maximum consumers limit reached"),
		refusal(10138, "consumer filters overlap"),
		errors.Join(jsapi.ErrNoReply, nats.ErrConnectionClosed),
		errors.Join(nats.ErrNoResponders, jetstream.ErrStreamNotFound),
	} {
		require.False(t, jsapi.Transient(staying), staying)
	}
}

func TestALeaderThatCannotStoreDoesNotSayWhetherItsPeersStoreAMessage(t *testing.T) {
	for description, class := range map[string]jsapi.Class{
		"store is closed":                      jsapi.Unknown,
		"write 1.blk: no space left on device": jsapi.Unknown,
		"":                                     jsapi.Unknown,
		server.ErrMaxMsgs.Error():              jsapi.Full,
		server.ErrMaxBytes.Error():             jsapi.Full,
		server.ErrMaxMsgsPerSubject.Error():    jsapi.Full,
		server.ErrMsgTooLarge.Error():          jsapi.Full,
	} {
		reply := `{"error":{"code":503,"err_code":10077,"description":"` + description + `"},"stream":"docs","seq":0}`
		require.Equal(t, class, jsapi.Classify(&nats.Msg{Data: []byte(reply)}).Class, description)
	}
}
