package jsapi

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// makeTimeout bounds one request for a stream to be made or changed, which on a cluster takes an election.
const makeTimeout = 5 * time.Second

// StreamInfo asks a stream's leader for its settings and its state. It returns an error that matches jetstream.ErrStreamNotFound
// where there is no such stream.
func (c *Client) StreamInfo(ctx context.Context, stream string) (info jetstream.StreamInfo, err error) {
	if err = c.api(ctx, "STREAM.INFO."+stream, getTimeout, nil, &info); err == nil {
		_, err = leaderOf(info.Cluster)
	}
	return info, err
}

// CreateStream makes a stream. That one of the name is there matches jetstream.ErrStreamNameAlreadyInUse, unless its settings are
// the same.
func (c *Client) CreateStream(ctx context.Context, cfg jetstream.StreamConfig) (info jetstream.StreamInfo, err error) {
	err = c.api(ctx, "STREAM.CREATE."+cfg.Name, makeTimeout, cfg, &info)
	return info, err
}

// UpdateStream gives a stream other settings.
func (c *Client) UpdateStream(ctx context.Context, cfg jetstream.StreamConfig) (info jetstream.StreamInfo, err error) {
	err = c.api(ctx, "STREAM.UPDATE."+cfg.Name, makeTimeout, cfg, &info)
	return info, err
}

// EraseMessage deletes a message and overwrites it on disk.
func (c *Client) EraseMessage(ctx context.Context, stream string, sequence uint64) error {
	var done struct{}
	return c.api(ctx, "STREAM.MSG.DELETE."+stream, makeTimeout, map[string]uint64{"seq": sequence}, &done)
}
