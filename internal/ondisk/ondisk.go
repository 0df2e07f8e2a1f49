package ondisk

import (
	"context"
	"errors"
	"sync"

	"github.com/nats-io/nats.go"
)

// ErrFailed is matched by what a Disk says once a sync has failed. From then on it is not known what is on disk: the kernel
// drops what it could not write, and tells of it once.
var ErrFailed = errors.New("the disk did not take what was written")

// Server is what a connection to a server that leaves the syncing to its host is made of, by nats.InProcessServer.
type Server interface {
	nats.InProcessConnProvider
	Disk() *Disk
}

// errClosed ends what would wait for a disk that was given up.
var errClosed = errors.New("the server has ended")

// Disk syncs for all who wait at the same time:
//
//	A, B, C  wait -> a sync begins
//	   D, E  come meanwhile: what they wait for may be written behind its back
//	                 it ends   -> A, B and C go on, the next begins
//	                              it ends -> D and E go on
//
// It is safe for concurrent use. It has a goroutine while somebody waits; Close waits for it.
type Disk struct {
	flush func() error
	owned sync.WaitGroup // the goroutine that syncs

	mu      sync.Mutex // guards the fields below
	syncing bool       // the goroutine runs
	next    *round     // that has not begun; nil where nobody waits for it
	failed  error      // of the first sync that failed, after which none is tried
	streams map[string]*Stream
}

// round is one sync and those who wait for it.
type round struct {
	done chan struct{} // closed at its end
	err  error         // read after done
}

// New gives a disk that flush syncs: when it returns, all that was written before it was called is on disk. It is called
// by one goroutine at a time, and not any more once it has failed. Its error should match ErrFailed.
func New(flush func() error) *Disk {
	return &Disk{flush: flush, streams: make(map[string]*Stream)}
}

// Sync blocks until all that was written before the call is on disk, or ctx ends. It returns the error of flush, also of an
// earlier one, or the cause of ctx.
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

// join gives the next round. One that is under way may have begun before what the caller waits for was written.
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

// run does one round after the other, as long as somebody waits.
func (d *Disk) run() {
	for r := d.begin(); r != nil; r = d.begin() {
		if r.err = d.Failed(); r.err == nil {
			r.err = d.flush()
			d.fail(r.err)
		}
		close(r.done)
	}
}

// begin gives the round that is due, nil where nobody waits.
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

// Close syncs for the last time. Who waits after that gets an error.
func (d *Disk) Close() error {
	err := d.Sync(context.Background())
	d.fail(errClosed)
	d.owned.Wait()
	return err
}

// Failed gives the error of the sync that failed, nil while none has.
func (d *Disk) Failed() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failed
}
