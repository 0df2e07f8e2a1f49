package main

import "slices"

// live finds the states from which a group of processes and the reader do not reach a good state while everybody else
// stands still. Its nodes are pairs of a state and a group.
type live struct {
	groups [][]int
	edges  []edge
}

type edge struct{ to, from int32 }

// add notes a step. If the step has exchanged the two runners, it also exchanges their groups.
func (l *live) add(from, to, by int, exchanged bool) {
	for k, group := range l.groups {
		if by != reads && !slices.Contains(group, by) {
			continue
		}
		after := k
		if exchanged {
			after = len(l.groups) - 1 - k
		}
		l.edges = append(l.edges, edge{l.node(to, after), l.node(from, k)})
	}
}

func (l *live) node(state, group int) int32 { return int32(state*len(l.groups) + group) }

// stuck returns the first state from which some group reaches no good state, or -1. It goes back from the good
// states.
func stuck[S comparable](l *live, all []S, good func(*S) bool) int {
	into, first := l.sorted(len(all) * len(l.groups))
	reached := make([]bool, len(all)*len(l.groups))
	var open []int32
	reach := func(node int32) {
		if !reached[node] {
			reached[node] = true
			open = append(open, node)
		}
	}
	for i := range all {
		if good(&all[i]) {
			for k := range l.groups {
				reach(l.node(i, k))
			}
		}
	}
	for len(open) > 0 {
		node := open[len(open)-1]
		open = open[:len(open)-1]
		for _, from := range into[first[node]:first[node+1]] {
			reach(from)
		}
	}
	if node := slices.Index(reached, false); node >= 0 {
		return node / len(l.groups)
	}
	return -1
}

// sorted returns the origins of the edges, in the order of their targets, and the index at which the edges to
// each node begin.
func (l *live) sorted(nodes int) (into, first []int32) {
	first = make([]int32, nodes+1)
	for _, e := range l.edges {
		first[e.to]++
	}
	total := int32(0)
	for i, n := range first {
		first[i] = total
		total += n
	}
	into = make([]int32, total)
	next := slices.Clone(first)
	for _, e := range l.edges {
		into[next[e.to]] = e.from
		next[e.to]++
	}
	return into, first
}
