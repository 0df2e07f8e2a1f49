package main

// property is a sentence that no step may make true.
type property string

const (
	holds      property = ""
	stepsBack  property = "a reader steps back"
	replaced   property = "a generation is written after another one has replaced it"
	deleted    property = "a generation that serves is deleted"
	both       property = "a build flips that another process has aborted"
	paused     property = "a view is folded after Pause has returned"
	unfinished property = "one live runner does not get the reader to the log's end"
)

// properties are what the model checks, in the order of the page.
var properties = []property{stepsBack, replaced, deleted, both, paused, unfinished}

// move is a step that some process can take.
type move struct {
	next   state
	by     int
	what   string
	breaks property
}

// moves collects the steps that can be taken in a state.
type moves struct {
	scope  *scope
	bug    bug
	now    state
	breaks property // what the step that is being made breaks
	found  []move
}

// all returns the steps that can be taken in a state. They are valid until the next call.
func (m *moves) all(now state) []move {
	m.now, m.found = now, m.found[:0]
	if now.log < m.scope.commits {
		n := now
		n.log++
		m.add(appends, "grows", n)
	}
	m.reader()
	for p, part := range m.scope.parts {
		switch part.role {
		case runner:
			m.runner(p)
		case builder:
			m.builder(p)
		case pruner:
			m.pruner(p)
		case operator:
			m.operator(p)
		case nobody:
		}
	}
	return m.found
}

func (m *moves) add(by int, what string, n state) {
	n.forget()
	for _, slot := range n.record.slots {
		if slot.Serving != 0 && !n.buckets[slot.Serving].exists && m.breaks == holds {
			m.breaks = deleted
		}
	}
	m.found = append(m.found, move{next: n, by: by, what: what, breaks: m.breaks})
	m.breaks = holds
}

// fail says that the step that is being made breaks a property.
func (m *moves) fail(p property) { m.breaks = p }

// step adds a step of a process, after which it stands at a place.
func (m *moves) step(p int, what string, to place, change func(n *state)) {
	n := m.now
	n.processes[p].place = to
	if change != nil {
		change(&n)
	}
	m.add(p, what, n)
}

// outcome says where a process goes on when its write was stored, was refused, or was stored and the answer got lost.
type outcome struct{ stored, refused, lost place }

// writeRecord adds what can become of a compare-and-set of the record. A seeded bug leaves out the comparison.
func (m *moves) writeRecord(p int, what string, to outcome, blind bool, change func(n *state)) {
	if !m.now.processes[p].knowsRecord && !blind {
		m.step(p, what+" and is refused", to.refused, nil)
		return
	}
	m.step(p, what, to.stored, func(n *state) {
		change(n)
		n.wroteRecord(p)
	})
	if m.scope.lost {
		m.step(p, what+", and the answer is lost", to.lost, func(n *state) {
			change(n)
			n.wroteRecord(p)
			n.processes[p].knowsRecord = false
		})
	}
}

// writeCheckpoint does the same for the checkpoint of the generation that the process is on.
func (m *moves) writeCheckpoint(p int, what string, to outcome, blind bool, change func(n *state)) {
	me := m.now.processes[p]
	if !m.now.buckets[me.on].exists || !me.knowsCheckpoint && !blind {
		m.step(p, what+" and is refused", to.refused, nil)
		return
	}
	m.step(p, what, to.stored, func(n *state) {
		change(n)
		n.wroteCheckpoint(p)
	})
	if m.scope.lost {
		m.step(p, what+", and the answer is lost", to.lost, func(n *state) {
			change(n)
			n.wroteCheckpoint(p)
			n.processes[p].knowsCheckpoint = false
		})
	}
}

// readRecord adds a step that reads the record.
func (m *moves) readRecord(p int, what string, to place, change func(n *state)) {
	m.step(p, what, to, func(n *state) {
		n.processes[p].knowsRecord = true
		if change != nil {
			change(n)
		}
	})
}
