package main

import (
	"context"
	"time"
)

// slowBy is the delay of slow links in each direction.
const slowBy = 20 * time.Millisecond

// blindTime is how long a leader without followers may seem to lead. It is shorter than an election takes.
const blindTime = 3 * time.Second

// linkFaults are the faults of connections.
func linkFaults() []*fault {
	both, three, few := []int{1, 3}, []int{3}, []int{1, 2}
	return []*fault{
		{
			name: "leader alone", does: "the links between the leader and the other servers are cut", nodes: three, banks: few,
			hold: electionHold, blind: blindTime, begin: onNode(leader, alone(cut), alone(whole)),
		},
		{
			name: "leader alone, silently", does: "those links stay open and carry nothing", nodes: three, banks: []int{1, 2, 3},
			hold: electionHold, blind: blindTime, begin: onNode(leader, alone(silent), alone(whole)),
		},
		{
			name: "follower alone", does: "the links between a follower and the other servers are cut", nodes: three, banks: few,
			hold: electionHold, begin: onNode(follower, alone(cut), alone(whole)),
		},
		{
			name: "all servers alone", does: "all links between servers are cut", nodes: three, banks: few, hold: electionHold, blind: blindTime,
			begin: func(_ context.Context, w *world) (mend, error) {
				w.cluster.eachRoute(func(l *link) { l.set(cut) })
				return func(context.Context) error {
					w.cluster.eachRoute(func(l *link) { l.set(whole) })
					return nil
				}, nil
			},
		},
		{
			name: "banks cut from the leader", does: "the links between all banks and the leader are cut", nodes: both, banks: few,
			stops: oneNode, begin: fromBanks(cut, false),
		},
		{
			name: "banks cut from the leader, silently", does: "those links stay open and carry nothing", nodes: both, banks: few,
			hold: electionHold, stops: oneNode, begin: fromBanks(silent, false),
		},
		{
			name: "one bank cut off, silently", does: "the links between one bank and all servers carry nothing", nodes: both, banks: few,
			hold: electionHold, stops: oneBank, begin: fromBanks(silent, true),
		},
		{
			name: "slow links", does: "all links take 20 ms in each direction", nodes: both, banks: few,
			begin: func(_ context.Context, w *world) (mend, error) {
				w.eachLink(func(l *link) { l.slow(slowBy) })
				return func(context.Context) error {
					w.eachLink(func(l *link) { l.slow(0) })
					return nil
				}, nil
			},
		},
		{
			name: "links that break", does: "all links of banks break every 300 ms", nodes: both, banks: few,
			begin: func(ctx context.Context, w *world) (mend, error) {
				for range 20 {
					for _, b := range w.instances() {
						b.eachLink(func(l *link) { l.set(cut); l.set(whole) })
					}
					pause(ctx, 300*time.Millisecond)
				}
				return nil, nil
			},
		},
	}
}

// alone sets the links between a node and the others.
func alone(to condition) func(context.Context, *cluster, int) error {
	return func(_ context.Context, c *cluster, at int) error {
		for ends, l := range c.routes {
			if ends[0] == at || ends[1] == at {
				l.set(to)
			}
		}
		return nil
	}
}

// fromBanks sets the links between all banks and the leader, or between the first bank and all servers.
func fromBanks(to condition, first bool) func(context.Context, *world) (mend, error) {
	return func(ctx context.Context, w *world) (mend, error) {
		at, err := w.cluster.leader(ctx)
		if err != nil {
			return nil, err
		}
		var links []*link
		for i, b := range w.instances() {
			switch {
			case !first:
				links = append(links, b.links[at])
			case i == 0:
				links = append(links, b.links...)
			}
		}
		set := func(to condition) {
			for _, l := range links {
				l.set(to)
			}
		}
		set(to)
		return func(context.Context) error {
			set(whole)
			return nil
		}, nil
	}
}

func (c *cluster) eachRoute(do func(*link)) {
	for _, l := range c.routes {
		do(l)
	}
}

func (b *instance) eachLink(do func(*link)) {
	for _, l := range b.links {
		do(l)
	}
}

func (w *world) eachLink(do func(*link)) {
	w.cluster.eachRoute(do)
	for _, b := range w.instances() {
		b.eachLink(do)
	}
}
