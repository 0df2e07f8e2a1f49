package ondisk

import (
	"context"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

// Stream says up to which sequence a JetStream stream is on disk. All users of the stream in this process share
// it, so reads of old messages wait for nothing. A nil Stream belongs to a server that is not asked to sync:
// nothing waits. It is safe for concurrent use.
type Stream struct {
	disk   *Disk
	stored atomic.Uint64 // up to here it was acknowledged
	known  atomic.Uint64 // up to here it is on disk
}

// Of returns the stream of that name for a connection, or nil if its server is not asked to sync.
func Of(nc *nats.Conn, name string) *Stream {
	server, ok := nc.Opts.InProcessServer.(Server)
	if !ok {
		return nil
	}
	d := server.Disk()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.streams[name] == nil {
		d.streams[name] = &Stream{disk: d}
	}
	return d.streams[name]
}

// Opened waits until a stream is on disk up to its last sequence, because an earlier process may have left it
// unsynced. If the stream ends before the known sequence, it was made anew.
func (s *Stream) Opened(ctx context.Context, end uint64) error {
	if s == nil {
		return nil
	}
	if s.known.Load() > end || s.stored.Load() > end {
		s.stored.Store(0)
		s.known.Store(0)
	}
	return s.Wait(ctx, end)
}

// Stored waits until a message that was just acknowledged is on disk, with all messages before it. It fails
// like [Disk.Sync].
func (s *Stream) Stored(ctx context.Context, sequence uint64) error {
	if s == nil {
		return nil
	}
	raise(&s.stored, sequence)
	return s.sync(ctx, sequence)
}

// Wait waits until a message that was read is on disk, with all messages before it. It fails like [Disk.Sync].
func (s *Stream) Wait(ctx context.Context, sequence uint64) error {
	if s == nil || sequence <= s.known.Load() {
		return nil
	}
	return s.sync(ctx, sequence)
}

// sync syncs the disk. Afterwards all messages that were acknowledged before are on disk.
func (s *Stream) sync(ctx context.Context, sequence uint64) error {
	sequence = max(sequence, s.stored.Load())
	if err := s.disk.Sync(ctx); err != nil {
		return err
	}
	raise(&s.known, sequence)
	return nil
}

// Sync waits until everything that the server has done is on disk, including deletions and settings.
func (s *Stream) Sync(ctx context.Context) error {
	if s == nil {
		return nil
	}
	return s.disk.Sync(ctx)
}

// Failed returns the error of the sync that failed, or nil if none has.
func (s *Stream) Failed() error {
	if s == nil {
		return nil
	}
	return s.disk.Failed()
}

// raise makes n at least as high as value.
func raise(n *atomic.Uint64, value uint64) {
	for have := n.Load(); have < value && !n.CompareAndSwap(have, value); have = n.Load() {
		continue
	}
}
