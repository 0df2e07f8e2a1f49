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

// createTimeout bounds one request for a consumer. The request is harmless to repeat under the same name, and a
// cluster without a leader loses it.
const createTimeout = time.Second

// codeInactiveTooLong is the server's refusal of a consumer that may be idle for longer than its stream allows.
const codeInactiveTooLong jetstream.ErrorCode = 10153

// CreateConsumer makes a consumer of a stream, under the name in its configuration, and returns it as the
// server made it. If the stream allows a shorter idle time than the configuration asks for, the consumer gets
// the time that the stream allows.
func (c *Client) CreateConsumer(ctx context.Context, stream string, cfg jetstream.ConsumerConfig) (jetstream.ConsumerInfo, error) {
	info, err := c.createConsumer(ctx, stream, cfg)
	switch code, _ := errorCode(err); code {
	case codeInactiveTooLong:
		cfg.InactiveThreshold = 0
		return c.createConsumer(ctx, stream, cfg)
	case codeInsufficientResources: // the servers that hold the stream are away, which passes
		err = fmt.Errorf("%w: %s", nats.ErrNoResponders, err.Error())
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

// DropConsumer asks the server to delete a consumer, and does not wait for it. The server would do so later by
// itself.
func (c *Client) DropConsumer(stream, consumer string) {
	c.keeper.later(func() {
		if c.Session().Connected() == nil {
			// No call has number 0, so nobody takes the reply.
			_ = c.nc.PublishRequest(c.prefix+"CONSUMER.DELETE."+stream+"."+consumer, c.inbox+"0", nil)
		}
	})
}

// errorCode returns the server's code for an error of the JetStream API.
func errorCode(err error) (jetstream.ErrorCode, bool) {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return 0, false
	}
	return api.ErrorCode, true
}

// IsRefusal reports whether the server refused a request for a reason that does not pass: a limit, a missing
// permission, a setting.
func IsRefusal(err error) bool {
	_, said := errorCode(err)
	return errors.Is(err, nats.ErrPermissionViolation) || isFull(err) || said && !Transient(err)
}

// api sends a request of the JetStream API and reads the reply into answer.
func (r *requests) api(ctx context.Context, request string, timeout time.Duration, body, answer any) error {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return err
		}
	}
	msg, err := r.Request(ctx, r.prefix+request, data, timeout)
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
