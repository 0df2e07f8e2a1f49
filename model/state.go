package main

import "github.com/runnel-go/runnel/internal/protocol"

const (
	generations  = 4 // the most of one scope
	processes    = 6 // the most of one scope
	foldVersions = 2
)

// generation names a bucket of documents, and the build that fills it. 0 is none; 1 serves at the begin.
type generation = int8

type (
	slot  = protocol.Slot[generation]
	fence = protocol.Fence[generation]
)

// state is all that is stored, and all that the processes know. It has no pointers, so that states can be compared.
type state struct {
	log       int8 // how many commits it has
	record    record
	buckets   [generations + 1]bucket
	processes [processes]process
	reader    reader
}

// record is the document that all share.
type record struct {
	slots [foldVersions]slot
	kept  [generations + 1]bool // served once, and not pruned yet
}

// bucket is a generation with its checkpoint. The documents are those that the position says.
type bucket struct {
	exists   bool
	position int8
	fence    fence
}

// process is a runner, a builder, a pruner or an operator. It knows a document as long as nobody else has written it
// since the process has read or written it; that is what a compare-and-set asks for.
type process struct {
	place           place
	on              generation // whose checkpoint it reads or writes
	saw             generation // the build that it has read of
	goal            int8       // the position that a builder must reach
	knowsRecord     bool
	knowsCheckpoint bool // of the generation that it is on
	late            bool // a flip has been sent, nobody waits for it, and it may arrive
}

// reader is a process that reads documents. It follows no generation before it has read the record.
type reader struct {
	follows  generation
	position int8 // of the documents that it has read last
}

// place is where in its work a process stands: what it does next.
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
	takes
	makesBucket
	builds
	readsServing
	retires
	catchesUp
	looks
	flips
	withdraws
	deletesOwn
	done

	// A pruner's.
	removes
	deletes

	// An operator's.
	pauses
	readsClaim
	endsClaim
	returned
	resumes
)

// knowledge says which fields of a process matter at a place.
type knowledge struct{ on, saw, goal, record, checkpoint bool }

// needs says what a process still needs at each place. It forgets the rest, so that states which differ in nothing
// else are one. Where nothing stands, nothing is needed.
var needs = [...]knowledge{
	readsCheckpoint:  {on: true, saw: true},
	readsRecordAgain: {on: true, saw: true, checkpoint: true},
	claims:           {on: true, checkpoint: true},
	confirms:         {on: true, checkpoint: true},
	aborts:           {on: true, checkpoint: true, record: true},
	lifts:            {on: true, checkpoint: true},
	folds:            {on: true, checkpoint: true},

	takes:        {record: true},
	makesBucket:  {on: true},
	builds:       {on: true},
	readsServing: {on: true},
	retires:      {on: true, checkpoint: true},
	catchesUp:    {goal: true},
	flips:        {record: true},
	withdraws:    {record: true},

	removes: {on: true, saw: true, record: true},
	deletes: {on: true},

	pauses:     {record: true},
	readsClaim: {on: true},
	endsClaim:  {on: true, checkpoint: true},
	resumes:    {record: true},
}

func (p *process) forget() {
	keep := needs[p.place]
	p.knowsRecord = p.knowsRecord && keep.record
	p.knowsCheckpoint = p.knowsCheckpoint && keep.checkpoint
	if !keep.on {
		p.on = 0
	}
	if !keep.saw {
		p.saw = 0
	}
	if !keep.goal {
		p.goal = 0
	}
}

func (s *state) forget() {
	for i := range s.processes {
		s.processes[i].forget()
	}
	for g := range s.buckets {
		if !s.buckets[g].exists {
			s.buckets[g] = bucket{}
		}
	}
}

// wroteRecord makes a process the only one that knows the record, and refuses the flips that are on their way.
func (s *state) wroteRecord(writer int) {
	for i := range s.processes {
		s.processes[i].knowsRecord = i == writer
		s.processes[i].late = false
	}
}

// wroteCheckpoint makes a process the only one that knows the checkpoint of the generation that it is on.
func (s *state) wroteCheckpoint(writer int) {
	on := s.processes[writer].on
	for i := range s.processes {
		if s.processes[i].on == on {
			s.processes[i].knowsCheckpoint = i == writer
		}
	}
}
