package main

import (
	"iter"
	"runtime"
	"slices"
	"sync"
)

// world is the object of an exploration: the states of some processes, and the steps from one to the next.
type world[S comparable] interface {
	about() about
	first() S
	all(now S) []move[S]      // the steps that can be taken in a state; they are valid until the next call
	canonical(s *S) bool      // turns states that differ only in names into one; true if it exchanged the runners
	good(s *S) bool           // whether the reader is where a live runner must get it
	live() [][]int            // groups of processes, each of which must get there alone
	line(step move[S]) string // says what a step does
}

// about describes a world.
type about struct {
	name      string
	processes []string
	commits   int8
	lost      bool // whether answers are lost
}

// move is a step that some process can take.
type move[S comparable] struct {
	next   S
	by     int
	what   string
	breaks property
}

// result is the result of the exploration of a world.
type result struct {
	about

	states int
	steps  int // that lead from one of the states to one of them
	depth  int // the most steps that it takes to reach a state
	breaks property
	trace  []string // a shortest way to break the property
}

// explorer visits all states of a world, in the order of the steps to reach them.
type explorer[S comparable] struct {
	world world[S]
	all   []S
	from  []int32 // the state from which each was reached first
	index index[S]
	live  *live // nil if it is not asked whether a live runner is enough
	steps int
}

// explore visits all states of a world, until a property is broken.
func explore[S comparable](w world[S], alone bool) result {
	e := &explorer[S]{world: w, index: newIndex[S]()}
	if alone {
		e.live = &live{groups: w.live()}
	}
	first := w.first()
	w.canonical(&first)
	e.visit(first, -1)
	depth, level := 0, 1 // level is where the states that are one step further begin
	next := 0
	for next < len(e.all) {
		if next == level {
			depth, level = depth+1, len(e.all)
		}
		if broken := e.expand(next); broken.breaks != holds {
			return e.result(depth, broken.breaks, append(e.trace(next), w.line(broken)))
		}
		next++
	}
	if alone {
		if stuck := stuck(e.live, e.all, w.good); stuck >= 0 {
			return e.result(depth, unfinished, e.trace(stuck))
		}
	}
	return e.result(depth, holds, nil)
}

func (e *explorer[S]) result(depth int, breaks property, trace []string) result {
	return result{about: e.world.about(), states: len(e.all), steps: e.steps, depth: depth, breaks: breaks, trace: trace}
}

// expand visits the states that are one step from a state. It returns a step that breaks a property, if there is one.
func (e *explorer[S]) expand(i int) move[S] {
	found := e.world.all(e.all[i])
	e.steps += len(found)
	for _, step := range found {
		if step.breaks != holds {
			return step
		}
		exchanged := e.world.canonical(&step.next)
		to := e.visit(step.next, i)
		if e.live != nil && to != i && step.what != kill {
			e.live.add(i, to, step.by, exchanged)
		}
	}
	return move[S]{}
}

// visit returns the number of a state.
func (e *explorer[S]) visit(s S, from int) int {
	id, seen := e.index.find(e.all, s)
	if !seen {
		e.all = append(e.all, s)
		e.from = append(e.from, int32(from))
	}
	return id
}

// trace returns the steps that lead to a state.
func (e *explorer[S]) trace(i int) []string {
	var lines []string
	for ; e.from[i] >= 0; i = int(e.from[i]) {
		lines = append(lines, e.lineTo(i))
	}
	slices.Reverse(lines)
	return lines
}

// lineTo returns the step by which a state was reached first.
func (e *explorer[S]) lineTo(i int) string {
	for _, step := range e.world.all(e.all[e.from[i]]) {
		e.world.canonical(&step.next)
		if step.next == e.all[i] {
			return e.world.line(step)
		}
	}
	panic("a state is reached by no step")
}

// exploreAll runs explorations, as many at the same time as there are processors, and yields the results in
// their order.
func exploreAll(explorations []func() result) iter.Seq[result] {
	return func(yield func(result) bool) {
		var working sync.WaitGroup
		defer working.Wait()
		free := make(chan struct{}, runtime.GOMAXPROCS(0))
		results := make([]chan result, len(explorations))
		for i, explore := range explorations {
			results[i] = make(chan result, 1)
			working.Go(func() {
				free <- struct{}{}
				results[i] <- explore()
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
