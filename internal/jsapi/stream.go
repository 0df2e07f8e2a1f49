package jsapi

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// makeTimeout bounds one request for a stream to be made or changed, which on a cluster takes an election.
const makeTimeout = 5 * time.Second

// StreamInfo asks a stream's leader for its settings and its state. It returns an error that matches
// jetstream.ErrStreamNotFound if the stream does not exist.
func (c *Client) StreamInfo(ctx context.Context, stream string) (info jetstream.StreamInfo, err error) {
	if err = c.api(ctx, "STREAM.INFO."+stream, getTimeout, nil, &info); err == nil {
		_, err = leaderOf(info.Cluster)
	}
	return info, err
}

// MadeInfo is StreamInfo for a stream that was just made. The leader of a cluster may not know it yet. If it says that
// the stream does not exist, the error is one that passes.
func (c *Client) MadeInfo(ctx context.Context, stream string) (jetstream.StreamInfo, error) {
	info, err := c.StreamInfo(ctx, stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		err = fmt.Errorf("%w: stream %s was made and is not known yet", ErrNoReply, stream)
	}
	return info, err
}

// CreateStream makes a stream. If a stream of the name exists with other settings, the error matches
// jetstream.ErrStreamNameAlreadyInUse.
func (c *Client) CreateStream(ctx context.Context, cfg jetstream.StreamConfig) (info jetstream.StreamInfo, err error) {
	err = c.api(ctx, "STREAM.CREATE."+cfg.Name, makeTimeout, cfg, &info)
	return info, err
}

// UpdateStream changes the settings of a stream.
func (c *Client) UpdateStream(ctx context.Context, cfg jetstream.StreamConfig) (info jetstream.StreamInfo, err error) {
	err = c.api(ctx, "STREAM.UPDATE."+cfg.Name, makeTimeout, cfg, &info)
	return info, err
}

// EraseMessage deletes a message and overwrites it on disk.
func (c *Client) EraseMessage(ctx context.Context, stream string, sequence uint64) error {
	var done struct{}
	return c.api(ctx, "STREAM.MSG.DELETE."+stream, makeTimeout, map[string]uint64{"seq": sequence}, &done)
}

// StreamNames returns the names of the streams with subjects that match one, which it asks for in pages.
func (c *Client) StreamNames(ctx context.Context, subject string) ([]string, error) {
	var names []string
	for {
		var page struct {
			Total   int      `json:"total"`
			Streams []string `json:"streams"`
		}
		request := struct {
			Subject string `json:"subject"`
			Offset  int    `json:"offset"`
		}{subject, len(names)}
		if err := c.api(ctx, "STREAM.NAMES", getTimeout, request, &page); err != nil {
			return nil, err
		}
		names = append(names, page.Streams...)
		if len(page.Streams) == 0 || len(names) >= page.Total {
			return names, nil
		}
	}
}

// DeleteStream deletes a stream with all its messages. It returns an error that matches
// jetstream.ErrStreamNotFound if the stream does not exist.
func (c *Client) DeleteStream(ctx context.Context, stream string) error {
	var done struct{}
	return c.api(ctx, "STREAM.DELETE."+stream, makeTimeout, nil, &done)
}
