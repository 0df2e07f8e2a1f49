package jsapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// createTimeout bounds one request for a consumer. It is harmless to repeat under the same name, and on a cluster without a leader
// the request is lost.
const createTimeout = time.Second

// codeInactiveTooLong is the server's refusal of a consumer that may be idle for longer than its stream allows.
const codeInactiveTooLong jetstream.ErrorCode = 10153

// CreateConsumer makes a consumer of a stream, under the name in its configuration, and gives it as the server made it. Where
// the stream bounds how long a consumer may be idle below what is asked for, the consumer gets what the stream allows.
func (c *Client) CreateConsumer(ctx context.Context, stream string, cfg jetstream.ConsumerConfig) (jetstream.ConsumerInfo, error) {
	info, err := c.createConsumer(ctx, stream, cfg)
	if code, ok := errorCode(err); ok && code == codeInactiveTooLong {
		cfg.InactiveThreshold = 0
		return c.createConsumer(ctx, stream, cfg)
	}
	return info, err
}

func (c *Client) createConsumer(ctx context.Context, stream string, cfg jetstream.ConsumerConfig) (info jetstream.ConsumerInfo, err error) {
	request := "CONSUMER.CREATE." + stream + "." + cfg.Name
	if cfg.FilterSubject != "" {
		request += "." + cfg.FilterSubject
	}
	err = c.api(ctx, request, createTimeout, map[string]any{"stream_name": stream, "config": cfg}, &info)
	return info, err
}

// DropConsumer asks the server to forget a consumer, and does not wait until it has. The server would do so later by itself.
func (c *Client) DropConsumer(stream, consumer string) {
	c.keeper.later(func() {
		if c.Session().Connected() == nil {
			_ = c.nc.PublishRequest(c.prefix+"CONSUMER.DELETE."+stream+"."+consumer, c.inbox+"0", nil) // nobody waits for number 0
		}
	})
}

// errorCode gives the server's code for an error of the JetStream API.
func errorCode(err error) (jetstream.ErrorCode, bool) {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return 0, false
	}
	return api.ErrorCode, true
}

// IsRefusal reports whether the server said no to a request, for a reason that stays: a limit, a missing permission, a setting.
func IsRefusal(err error) bool {
	_, said := errorCode(err)
	return errors.Is(err, nats.ErrPermissionViolation) || isFull(err) || said && !Transient(err)
}

// api sends a request of the JetStream API and reads the reply into answer.
func (c *Client) api(ctx context.Context, request string, timeout time.Duration, body, answer any) error {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return err
		}
	}
	msg, err := c.Request(ctx, c.prefix+request, data, timeout)
	if err != nil {
		return err
	}
	if len(msg.Data) == 0 && msg.Header.Get("Status") == "503" {
		return nats.ErrNoResponders
	}
	var reply struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &reply); err != nil {
		return fmt.Errorf("unreadable reply to %s: %w", request, err)
	}
	if reply.Error != nil {
		return reply.Error
	}
	return json.Unmarshal(msg.Data, answer)
}
