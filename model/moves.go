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
	passedOver property = "an event is passed over though a release has announced its type"
)

// properties are what the model checks, in the order of the page.
var properties = []property{stepsBack, replaced, deleted, both, paused, unfinished, passedOver}

// moves is the world of a view: it collects the steps that can be taken in a state.
type moves struct {
	scope
	bug    bug
	now    state
	breaks property // the property that the present step breaks
	found  []move[state]
}

// view returns the world of a scope, in which a bug may be seeded.
func view(sc scope, seeded bug) *moves { return &moves{scope: sc, bug: seeded} }

func (m *moves) about() about {
	var names []string
	for _, p := range m.parts {
		names = append(names, p.name)
	}
	return about{name: m.name, processes: append(names, "reader"), commits: m.commits, lost: m.lost}
}

func (m *moves) live() [][]int { return m.alone }

func (m *moves) line(step move[state]) string { return m.nameOf(step.by) + " " + step.what }

// good reports whether the reader has read the log's end, from the generation to which the record leads it. A view
// that is paused does not get there.
func (m *moves) good(s *state) bool {
	m.now = *s
	g := m.leads(s.reader)
	return s.reader.follows != 0 && s.reader.follows == g && s.reader.position == s.log || s.record.slots[0].Paused
}

// all returns the steps that can be taken in a state. They are valid until the next call.
func (m *moves) all(now state) []move[state] {
	m.now, m.found = now, m.found[:0]
	if now.log < m.commits {
		n := now
		n.log++
		m.add(appends, "grows", n)
	}
	m.reader()
	for p, part := range m.parts {
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
	m.found = append(m.found, move[state]{next: n, by: by, what: what, breaks: m.breaks})
	m.breaks = holds
}

// fail notes that the present step breaks a property.
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

// writeRecord adds a step that reads the record, changes it, and writes it under the revision that it has read.
// If another process is faster, that is done again, so it is one step. Its answer may be lost.
func (m *moves) writeRecord(p int, what string, stored, lost place, change func(n *state)) {
	write := func(n *state) {
		change(n)
		n.wroteRecord()
	}
	m.step(p, what, stored, write)
	if m.lost && lost != stored {
		m.step(p, what+unanswered, lost, write)
	}
}

const unanswered = ", and the answer is lost"

// outcome says where a process goes on when its write was stored, was refused, or was stored and the answer got lost.
type outcome struct{ stored, refused, lost place }

// writeCheckpoint adds the outcomes of a compare-and-set of the checkpoint that the process has read. With one
// of the seeded bugs, it leaves out the comparison.
func (m *moves) writeCheckpoint(p int, what string, to outcome, blind bool, change func(n *state)) {
	me := m.now.processes[p]
	if !m.now.buckets[me.on].exists || !me.knows && !blind {
		m.step(p, what+" and is refused", to.refused, nil)
		return
	}
	write := func(n *state) {
		change(n)
		n.wroteCheckpoint(p)
	}
	m.step(p, what, to.stored, write)
	if m.lost {
		m.step(p, what+unanswered, to.lost, func(n *state) {
			write(n)
			n.processes[p].knows = false
		})
	}
}
