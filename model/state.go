package main

import "github.com/runnel-go/runnel/internal/protocol"

const (
	generations  = 4 // the most of one scope
	processes    = 6 // the most of one scope
	foldVersions = 2
)

// generation names a bucket of documents, and the build that fills it. 0 means no generation; 1 serves at the
// start.
type generation = int8

type (
	slot  = protocol.Slot[generation]
	fence = protocol.Fence[generation]
)

// state holds all stored documents and the knowledge of all processes. It has no pointers, so that states can
// be compared.
type state struct {
	log       int8 // how many commits it has
	record    record
	buckets   [generations + 1]bucket
	processes [processes]process
	reader    reader
}

// record is the document that all processes share.
type record struct {
	slots [foldVersions]slot
}

// uses reports whether the record names a generation.
func (r *record) uses(g generation) bool {
	for _, slot := range r.slots {
		if slot.Serving == g || slot.Building == g {
			return true
		}
	}
	return false
}

// bucket is a generation with its checkpoint. The position determines the documents.
type bucket struct {
	exists   bool
	position int8
	fence    fence
}

// process is a runner, a builder, a pruner or an operator. It knows a checkpoint as long as no other process
// has written it since this one has read or written it, because a compare-and-set passes as long.
type process struct {
	place place
	on    generation // whose checkpoint or bucket it reads or writes
	saw   generation // the build that it has read of
	goal  int8       // the position that a builder must reach
	knows bool       // the checkpoint of the generation that it is on
	late  bool       // a flip has been sent, nobody waits for it, and it may arrive
}

// reader is a process that reads documents. It follows no generation before it has read the record.
type reader struct {
	follows  generation
	position int8 // of the documents that it has read last
}

// place is the place of a process in its work: its next step.
type place int8

const (
	idle place = iota

	// A runner's.
	readsCheckpoint
	readsRecordAgain
	claims
	confirms
	aborts
	lifts
	folds

	// A builder's.
	clears
	makesBucket
	builds
	readsServing
	retires
	catchesUp
	looks
	deletesOwn
	done

	// A pruner's.
	compares
	deletes

	// An operator's.
	halts
	readsClaim
	endsClaim
	returned
)

// knowledge says which fields of a process matter at a place.
type knowledge struct{ on, saw, goal, checkpoint bool }

// needs says what a process still needs at each place. It forgets the rest, so that states which differ in
// nothing else are one. At a place without an entry, it needs nothing.
var needs = [...]knowledge{
	readsCheckpoint:  {on: true, saw: true},
	readsRecordAgain: {on: true, saw: true, checkpoint: true},
	claims:           {on: true, checkpoint: true},
	confirms:         {on: true, checkpoint: true},
	aborts:           {on: true, saw: true, checkpoint: true},
	lifts:            {on: true, checkpoint: true},
	folds:            {on: true, checkpoint: true},

	clears:       {on: true, saw: true},
	makesBucket:  {on: true},
	builds:       {on: true},
	readsServing: {on: true},
	retires:      {on: true, goal: true, checkpoint: true},
	catchesUp:    {goal: true},

	compares: {on: true, saw: true},
	deletes:  {on: true},

	readsClaim: {on: true},
	endsClaim:  {on: true, checkpoint: true},
	returned:   {},
}

// forgetting returns the process without the knowledge that it does not need any more.
func (p process) forgetting() process {
	keep := needs[p.place]
	p.knows = p.knows && keep.checkpoint
	if !keep.on {
		p.on = 0
	}
	if !keep.saw {
		p.saw = 0
	}
	if !keep.goal {
		p.goal = 0
	}
	return p
}

func (s *state) forget() {
	for i := range s.processes {
		s.processes[i] = s.processes[i].forgetting()
	}
	for g := range s.buckets {
		if !s.buckets[g].exists {
			s.buckets[g] = bucket{}
		}
	}
}

// wroteRecord refuses the flips that are on their way, because they expect the record as it was.
func (s *state) wroteRecord() {
	for i := range s.processes {
		s.processes[i].late = false
	}
}

// wroteCheckpoint makes a process the only one that knows the checkpoint of the generation that it is on.
func (s *state) wroteCheckpoint(writer int) {
	on := s.processes[writer].on
	for i := range s.processes {
		if s.processes[i].on == on {
			s.processes[i].knows = i == writer
		}
	}
}
