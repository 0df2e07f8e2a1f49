package main

import (
	"iter"
	"runtime"
	"slices"
	"sync"
)

// result is what the exploration of a scope has found.
type result struct {
	scope  *scope
	states int
	steps  int // that lead from one of the states to one of them
	depth  int // the most steps that it takes to reach a state
	breaks property
	trace  []string // a shortest way to break the property
}

// explorer visits all states of a scope, those that are reached in fewer steps first.
type explorer struct {
	moves moves
	all   []state
	from  []int32 // the state from which each was reached first
	index index
	live  *live // nil if it is not asked whether a live runner is enough
	steps int
}

// explore visits all states of a scope, until a property is broken.
func explore(sc scope, seeded bug, alone bool) result {
	e := &explorer{moves: moves{scope: &sc, bug: seeded}, index: newIndex()}
	if alone {
		e.live = &live{groups: sc.live}
	}
	first := sc.first()
	sc.canonical(&first)
	e.visit(first, -1)
	depth, level := 0, 1 // level is where the states that are one step further begin
	next := 0
	for next < len(e.all) {
		if next == level {
			depth, level = depth+1, len(e.all)
		}
		if broken := e.expand(next); broken.breaks != holds {
			return e.result(depth, broken.breaks, append(e.trace(next), e.line(broken)))
		}
		next++
	}
	if alone {
		if stuck := e.live.stuck(e.all, e.good); stuck >= 0 {
			return e.result(depth, unfinished, e.trace(stuck))
		}
	}
	return e.result(depth, holds, nil)
}

func (e *explorer) result(depth int, breaks property, trace []string) result {
	return result{scope: e.moves.scope, states: len(e.all), steps: e.steps, depth: depth, breaks: breaks, trace: trace}
}

// expand visits the states that are one step from a state. It returns a step that breaks a property, if there is one.
func (e *explorer) expand(i int) move {
	found := e.moves.all(e.all[i])
	e.steps += len(found)
	for _, step := range found {
		if step.breaks != holds {
			return step
		}
		exchanged := e.moves.scope.canonical(&step.next)
		to := e.visit(step.next, i)
		if e.live != nil && to != i && step.what != kill {
			e.live.add(i, to, step.by, exchanged)
		}
	}
	return move{}
}

// visit returns the number of a state.
func (e *explorer) visit(s state, from int) int {
	id, seen := e.index.find(e.all, s)
	if !seen {
		e.all = append(e.all, s)
		e.from = append(e.from, int32(from))
	}
	return id
}

// good reports whether the reader has read the log's end, from the generation to which the record leads it. A view
// that is paused does not get there.
func (e *explorer) good(s *state) bool {
	e.moves.now = *s
	g := e.moves.leads(s.reader)
	return s.reader.follows != 0 && s.reader.follows == g && s.reader.position == s.log || s.record.slots[0].Paused
}

// trace returns the steps that lead to a state.
func (e *explorer) trace(i int) []string {
	var lines []string
	for ; e.from[i] >= 0; i = int(e.from[i]) {
		lines = append(lines, e.lineTo(i))
	}
	slices.Reverse(lines)
	return lines
}

// lineTo returns the step by which a state was reached first.
func (e *explorer) lineTo(i int) string {
	for _, step := range e.moves.all(e.all[e.from[i]]) {
		e.moves.scope.canonical(&step.next)
		if step.next == e.all[i] {
			return e.line(step)
		}
	}
	panic("a state is reached by no step")
}

func (e *explorer) line(step move) string { return e.moves.scope.nameOf(step.by) + " " + step.what }

// exploreAll explores scopes, as many at the same time as there are processors, and yields the results in their
// order.
func exploreAll(scopes []scope) iter.Seq[result] {
	return func(yield func(result) bool) {
		var working sync.WaitGroup
		defer working.Wait()
		free := make(chan struct{}, runtime.GOMAXPROCS(0))
		results := make([]chan result, len(scopes))
		for i, sc := range scopes {
			results[i] = make(chan result, 1)
			working.Go(func() {
				free <- struct{}{}
				results[i] <- explore(sc, none, true)
				<-free
			})
		}
		for _, r := range results {
			if !yield(<-r) {
				return
			}
		}
	}
}
