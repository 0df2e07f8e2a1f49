package ondisk

import (
	"context"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

// Stream is how far one JetStream stream is on disk, as all in this process know it who use it; so reads of what is old
// wait for nothing. A nil Stream is one on a server that is not asked to sync: nothing waits. It is safe for concurrent use.
type Stream struct {
	disk   *Disk
	stored atomic.Uint64 // up to here it was acknowledged
	known  atomic.Uint64 // up to here it is on disk
}

// Of gives the stream of that name for a connection, nil where its server is not asked to sync.
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

// Opened waits until all that a stream holds is on disk, which ends at a sequence: a process before this one may have left it
// unsynced. A stream that ends before what was known of it was made anew.
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

// Stored waits until a message that was just acknowledged is on disk, with all before it. It fails like [Disk.Sync].
func (s *Stream) Stored(ctx context.Context, sequence uint64) error {
	if s == nil {
		return nil
	}
	raise(&s.stored, sequence)
	return s.sync(ctx, sequence)
}

// Wait waits until a message that was read is on disk, with all before it. It fails like [Disk.Sync].
func (s *Stream) Wait(ctx context.Context, sequence uint64) error {
	if s == nil || sequence <= s.known.Load() {
		return nil
	}
	return s.sync(ctx, sequence)
}

// sync syncs, after which what was acknowledged before is on disk as well.
func (s *Stream) sync(ctx context.Context, sequence uint64) error {
	sequence = max(sequence, s.stored.Load())
	if err := s.disk.Sync(ctx); err != nil {
		return err
	}
	raise(&s.known, sequence)
	return nil
}

// Sync waits until all that the server has done is on disk, deletions and settings among it.
func (s *Stream) Sync(ctx context.Context) error {
	if s == nil {
		return nil
	}
	return s.disk.Sync(ctx)
}

// Failed gives the error of the sync that failed, nil while none has.
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
