package main

import (
	"cmp"
	"context"
	"time"
)

// fault is one way to break things. Begin breaks them and returns how they are mended.
type fault struct {
	name    string
	does    string // for people
	nodes   []int  // the sizes of clusters that it makes sense on
	banks   []int  // the numbers of banks
	hold    time.Duration
	short   bool                                // part of a reduced run
	root    bool                                // needs root
	adds    bool                                // starts one more bank
	older   bool                                // begins with servers of an older version
	blind   time.Duration                       // after which an old leader no longer seems to lead
	gap     time.Duration                       // the longest time without any write; 0 for no bound
	stops   func(t trial) bool                  // whether nothing gets through until the end
	prepare func(context.Context, *world) error // before anything runs; nil for nothing
	begin   func(ctx context.Context, w *world) (mend, error)
}

// mend ends a fault. It is nil if the fault has ended by itself.
type mend func(ctx context.Context) error

// lateBound is how long after the log has a leader the first write may come.
const lateBound = 5 * time.Second

// happen begins the fault, holds it and ends it. It returns from when on writes were possible. That is when the log had
// a leader during the fault, or after its end if there was none before.
func (t trial) happen(ctx context.Context, w *world) (possible time.Time, err error) {
	f := t.fault
	end, err := f.begin(ctx, w)
	if err != nil {
		return possible, err
	}
	if end != nil {
		during, stop := context.WithTimeout(ctx, cmp.Or(f.hold, holdTime))
		defer stop()
		pause(during, f.blind)
		possible = w.cluster.led(during)
		<-during.Done()
		if err := end(ctx); err != nil {
			return possible, err
		}
	}
	if possible.IsZero() || f.stops != nil && f.stops(t) {
		possible = w.cluster.led(ctx)
	}
	return possible, context.Cause(ctx)
}

// led waits until the log has a leader that answers, and returns when that was. It returns the zero time if ctx ends
// before.
func (c *cluster) led(ctx context.Context) time.Time {
	for ctx.Err() == nil {
		if c.answers(ctx) {
			return time.Now()
		}
		pause(ctx, 20*time.Millisecond)
	}
	return time.Time{}
}

// answers reports whether the server that leads the log answers, and leads a majority.
func (c *cluster) answers(ctx context.Context) bool {
	asked, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	stream, err := c.js.Stream(asked, logStream)
	if err != nil {
		return false
	}
	if len(c.nodes) == 1 {
		return true
	}
	info, heard := stream.CachedInfo().Cluster, 1
	for _, peer := range info.Replicas {
		if !peer.Offline && peer.Active < 2*time.Second {
			heard++
		}
	}
	return info.Leader != "" && 2*heard > len(c.nodes)
}

// faults are all faults, in the order of the table.
func faults() []*fault {
	var all []*fault
	for _, some := range [][]*fault{serverFaults(), diskFaults(), linkFaults(), bankFaults()} {
		all = append(all, some...)
	}
	return all
}

// role says which node a fault is about.
type role int

const (
	leader role = iota
	follower
)

// pick returns the index of the node with a role.
func (c *cluster) pick(ctx context.Context, r role) (int, error) {
	at, err := c.leader(ctx)
	if r == follower {
		at = (at + 1) % len(c.nodes)
	}
	return at, err
}

// onNode begins a fault that does something to the node with a role, and undoes it.
func onNode(r role, do func(ctx context.Context, c *cluster, at int) error, undo func(ctx context.Context, c *cluster, at int) error,
) func(context.Context, *world) (mend, error) {
	return func(ctx context.Context, w *world) (mend, error) {
		at, err := w.cluster.pick(ctx, r)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context) error { return undo(ctx, w.cluster, at) }, do(ctx, w.cluster, at)
	}
}

func oneBank(t trial) bool { return t.banks == 1 }
func oneNode(t trial) bool { return t.nodes == 1 }
func always(trial) bool    { return true }
