package ondisk

import (
	"context"
	"errors"
	"sync"

	"github.com/nats-io/nats.go"
)

// ErrFailed is matched by the errors of a Disk after a sync has failed. From then on nobody knows what is on
// disk, because the kernel drops data that it could not write and reports that once.
var ErrFailed = errors.New("the disk failed to store written data")

// Server makes connections, by nats.InProcessServer, to a server that leaves the syncing to its host.
type Server interface {
	nats.InProcessConnProvider
	Disk() *Disk
}

// errClosed ends calls that would wait for a closed disk.
var errClosed = errors.New("the server has ended")

// Disk syncs once for all callers that wait at the same time:
//
//	A, B, C  wait -> a sync begins
//	   D, E  come meanwhile: what they wait for may be written behind its back
//	                 it ends   -> A, B and C go on, the next begins
//	                              it ends -> D and E go on
//
// It is safe for concurrent use. It has a goroutine while a caller waits; Close waits for it.
type Disk struct {
	flush func() error
	owned sync.WaitGroup // the goroutine that syncs

	mu      sync.Mutex // guards the fields below
	syncing bool       // the goroutine runs
	next    *round     // has not begun; nil if nobody waits for it
	failed  error      // of the first sync that failed; no sync is tried after it
	streams map[string]*Stream
}

// round is one sync, for all callers that wait for it.
type round struct {
	done chan struct{} // closed at its end
	err  error         // read after done
}

// New returns a disk that flush syncs. When flush returns, everything that was written before its call must be
// on disk. One goroutine at a time calls it, and never again after it has failed. Its error should match
// ErrFailed.
func New(flush func() error) *Disk {
	return &Disk{flush: flush, streams: make(map[string]*Stream)}
}

// Sync blocks until everything that was written before the call is on disk, or ctx ends. It returns the error
// of flush, or of an earlier flush, or the cause of ctx.
func (d *Disk) Sync(ctx context.Context) error {
	r, err := d.join()
	if err != nil {
		return err
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// join returns the next round. A round that is under way may have begun before the caller's data was written.
func (d *Disk) join() (*round, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed != nil {
		return nil, d.failed
	}
	if d.next == nil {
		d.next = &round{done: make(chan struct{})}
	}
	if !d.syncing {
		d.syncing = true
		d.owned.Go(d.run)
	}
	return d.next, nil
}

// run does one round after the other, as long as a caller waits.
func (d *Disk) run() {
	for r := d.begin(); r != nil; r = d.begin() {
		if r.err = d.Failed(); r.err == nil {
			r.err = d.flush()
			d.fail(r.err)
		}
		close(r.done)
	}
}

// begin returns the round that is due, or nil if nobody waits.
func (d *Disk) begin() *round {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.next
	d.next, d.syncing = nil, r != nil
	return r
}

// fail keeps the first error.
func (d *Disk) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed == nil {
		d.failed = err
	}
}

// Close syncs for the last time. A caller that waits after that gets an error.
func (d *Disk) Close() error {
	err := d.Sync(context.Background())
	d.fail(errClosed)
	d.owned.Wait()
	return err
}

// Failed returns the error of the sync that failed, or nil if none has.
func (d *Disk) Failed() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failed
}
