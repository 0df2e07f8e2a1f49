package main

import (
	"context"
	"time"
)

// Elections take 4 to 9 seconds once a leader is silent, so faults that need one hold longer.
const electionHold = 12 * time.Second

func killNode(_ context.Context, c *cluster, at int) error {
	c.nodes[at].kill()
	return nil
}

func startNode(ctx context.Context, c *cluster, at int) error  { return c.nodes[at].start(ctx) }
func freezeNode(_ context.Context, c *cluster, at int) error   { return c.nodes[at].freeze() }
func thawNode(_ context.Context, c *cluster, at int) error     { return c.nodes[at].thaw() }
func retireNode(ctx context.Context, c *cluster, at int) error { return c.nodes[at].retire(ctx) }

// serverFaults are the faults of processes of servers.
func serverFaults() []*fault {
	one, three, few, many := []int{1}, []int{3}, []int{1, 2}, []int{1, 2, 3}
	return append(restarts(), []*fault{
		{
			name: "no fault", does: "nothing happens", nodes: []int{1, 3}, banks: many, gap: time.Second,
			begin: func(context.Context, *world) (mend, error) { return func(context.Context) error { return nil }, nil },
		},
		{
			name: "kill the server", does: "the one server is killed, and starts again", nodes: one, banks: many,
			begin: onNode(leader, killNode, startNode),
		},
		{
			name: "kill the leader", does: "the server that leads the log is killed, and starts again", nodes: three, banks: many,
			hold: electionHold, short: true,
			begin: onNode(leader, killNode, startNode),
		},
		{
			name: "kill a follower", does: "another server is killed, and starts again", nodes: three, banks: few, gap: lateBound,
			begin: onNode(follower, killNode, startNode),
		},
		{
			name: "freeze the server", does: "the one server stands still, as in a pause of its machine", nodes: one, banks: few,
			begin: onNode(leader, freezeNode, thawNode),
		},
		{
			name: "freeze the leader", does: "the leader stands still, longer than an election takes", nodes: three, banks: many,
			hold: electionHold, begin: onNode(leader, freezeNode, thawNode),
		},
		{
			name: "freeze a follower", does: "a follower stands still", nodes: three, banks: few, hold: electionHold,
			begin: onNode(follower, freezeNode, thawNode),
		},
		{
			name: "lose the quorum", does: "two of three servers are killed, and start again", nodes: three, banks: many,
			hold: electionHold, blind: blindTime, short: true, begin: loseQuorum(nil),
		},
		{
			name: "start without a quorum", adds: true, does: "the same, and a bank is started meanwhile", nodes: three, banks: few,
			hold: electionHold, blind: blindTime, begin: loseQuorum(startBank),
		},
		{
			name: "start without the server", adds: true, does: "the one server is killed, and a bank is started meanwhile", nodes: one, banks: few,
			begin: func(ctx context.Context, w *world) (mend, error) {
				w.cluster.nodes[0].kill()
				return func(ctx context.Context) error { return w.cluster.nodes[0].start(ctx) }, startBank(ctx, w)
			},
		},
		{
			name: "start beside a frozen leader", adds: true, does: "the leader stands still, and a bank is started meanwhile", nodes: []int{1, 3}, banks: few,
			hold: electionHold,
			begin: func(ctx context.Context, w *world) (mend, error) {
				end, err := onNode(leader, freezeNode, thawNode)(ctx, w)
				if err != nil {
					return nil, err
				}
				return end, startBank(ctx, w)
			},
		},
		{
			name: "kill all servers", does: "all servers are killed at once, and start again", nodes: three, banks: few,
			begin: killAll,
		},
		{
			name: "kill each leader", does: "the leader is killed three times in a row", nodes: three, banks: few,
			begin: killEachLeader,
		},
		{
			name: "stutter", does: "the leader stands still 50 ms of each 100 ms", nodes: []int{1, 3}, banks: few,
			begin: stutter,
		},
	}...)
}

// restarts are the faults that operators make.
func restarts() []*fault {
	one, three, few, many := []int{1}, []int{3}, []int{1, 2}, []int{1, 2, 3}
	return []*fault{
		{
			name: "restart the server", does: "the one server ends in lame duck mode, and starts again", nodes: one, banks: few,
			hold: time.Second, begin: onNode(leader, retireNode, startNode),
		},
		{
			name: "retire the leader", does: "the leader ends in lame duck mode, and starts again", nodes: three, banks: many,
			gap: time.Second, begin: onNode(leader, retireNode, startNode),
		},
		{
			name: "restart all servers", does: "all servers are told to end, and start again", nodes: three, banks: few,
			begin: func(ctx context.Context, w *world) (mend, error) {
				for _, n := range w.cluster.nodes {
					if err := n.stop(ctx); err != nil {
						return nil, err
					}
				}
				return func(ctx context.Context) error { return startNodes(ctx, w.cluster.nodes) }, nil
			},
		},
		{
			name: "rolling restart", does: "one server after the other ends in lame duck mode and starts again", nodes: three, banks: many,
			gap: time.Second, begin: rollingRestart,
		},
		{
			name: "rolling upgrade", does: "the same, and each server comes back in a newer version", nodes: three, banks: few,
			gap: time.Second, older: true,
			begin: func(ctx context.Context, w *world) (mend, error) {
				for _, n := range w.cluster.nodes {
					n.binary = w.natsd
				}
				return rollingRestart(ctx, w)
			},
		},
	}
}

// startBank starts one more bank, with a client of its own.
func startBank(ctx context.Context, w *world) error {
	b, err := w.addBank(ctx)
	if err != nil {
		return err
	}
	w.load.pin(ctx, b)
	return nil
}

func rollingRestart(ctx context.Context, w *world) (mend, error) {
	for at := range w.cluster.nodes {
		if err := retireNode(ctx, w.cluster, at); err != nil {
			return nil, err
		}
		if err := startNode(ctx, w.cluster, at); err != nil {
			return nil, err
		}
		if err := w.cluster.caughtUp(ctx); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// loseQuorum kills all servers but one, and does something else meanwhile.
func loseQuorum(meanwhile func(context.Context, *world) error) func(context.Context, *world) (mend, error) {
	return func(ctx context.Context, w *world) (mend, error) {
		lost := w.cluster.nodes[1:]
		for _, n := range lost {
			n.kill()
		}
		if meanwhile != nil {
			if err := meanwhile(ctx, w); err != nil {
				return nil, err
			}
		}
		return func(ctx context.Context) error { return startNodes(ctx, lost) }, nil
	}
}

func killAll(_ context.Context, w *world) (mend, error) {
	for _, n := range w.cluster.nodes {
		n.kill()
	}
	return func(ctx context.Context) error { return startNodes(ctx, w.cluster.nodes) }, nil
}

func startNodes(ctx context.Context, nodes []*node) error {
	for _, n := range nodes {
		if err := n.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

func killEachLeader(ctx context.Context, w *world) (mend, error) {
	for range 3 {
		at, err := w.cluster.leader(ctx)
		if err != nil {
			return nil, err
		}
		if err := killNode(ctx, w.cluster, at); err != nil {
			return nil, err
		}
		if err := startNode(ctx, w.cluster, at); err != nil {
			return nil, err
		}
		if err := w.cluster.caughtUp(ctx); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func stutter(ctx context.Context, w *world) (mend, error) {
	at, err := w.cluster.leader(ctx)
	if err != nil {
		return nil, err
	}
	for range 60 {
		if err := freezeNode(ctx, w.cluster, at); err != nil {
			return nil, err
		}
		pause(ctx, 50*time.Millisecond)
		if err := thawNode(ctx, w.cluster, at); err != nil {
			return nil, err
		}
		pause(ctx, 50*time.Millisecond)
	}
	return nil, nil
}
