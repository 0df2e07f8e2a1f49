package jsapi

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Bounds of streams in an account that demands a bound for each stream.
const (
	smallestBound = 64 << 10
	// usualBound is for an account that does not report its resources.
	usualBound = 64 << 20
	// share is the part of the account's free storage that a stream without a configured bound gets. It is
	// small enough for the buckets of a view and of its rebuild beside each other.
	share = 8
)

// CreateBounded is CreateStream for a stream of the toolkit's own. If the account demands a bound for each
// stream and the settings have none, the stream gets a share of the account's free storage, or most if that is
// less and not 0.
func (c *Client) CreateBounded(ctx context.Context, cfg jetstream.StreamConfig, most int64) (jetstream.StreamInfo, error) {
	info, err := c.CreateStream(ctx, cfg)
	if !DemandsBound(err) {
		return info, err
	}
	bound := c.bound(ctx, cfg)
	if most > 0 {
		bound = min(bound, most)
	}
	for {
		cfg.MaxBytes = max(bound, smallestBound)
		info, err = c.CreateStream(ctx, cfg)
		// The server may have less free storage than the account.
		if bound /= 2; !exceeds(err) || bound < smallestBound {
			return info, err
		}
	}
}

// bound returns a stream's share of the account's free storage.
func (c *Client) bound(ctx context.Context, cfg jetstream.StreamConfig) int64 {
	var account jetstream.AccountInfo
	if err := c.api(ctx, "INFO", getTimeout, nil, &account); err != nil {
		return usualBound // this connection may not be permitted to ask
	}
	replicas := int64(max(cfg.Replicas, 1))
	tier, tiered := account.Tiers[fmt.Sprint("R", replicas)]
	if !tiered {
		tier = account.Tier
	} else {
		replicas = 1 // a tier counts each byte once
	}
	limit, used, largest := tier.Limits.MaxStore, max(tier.Store, tier.ReservedStore), tier.Limits.StoreMaxStreamBytes
	if cfg.Storage == jetstream.MemoryStorage {
		limit, used, largest = tier.Limits.MaxMemory, max(tier.Memory, tier.ReservedMemory), tier.Limits.MemoryMaxStreamBytes
	}
	bound := int64(usualBound)
	if limit > 0 {
		bound = (limit - int64(used)) / replicas / share
	}
	if largest > 0 {
		bound = min(bound, largest)
	}
	return bound
}

// DemandsBound reports whether a refusal says that the account demands a bound for each stream.
func DemandsBound(err error) bool { return hasCode(err, codeMaxBytesRequired) }

// IsAlone reports whether a refusal says that a server without a cluster cannot keep several replicas.
func IsAlone(err error) bool { return hasCode(err, codeReplicasNotSupported) }

// exceeds reports whether a stream was refused because of its bound.
func exceeds(err error) bool {
	return hasCode(err, codeMaxStreamBytes) || hasCode(err, codeStorageResources) || hasCode(err, codeMemoryResources)
}

func hasCode(err error, code jetstream.ErrorCode) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == code
}
