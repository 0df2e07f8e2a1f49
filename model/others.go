package main

// reader adds the steps of a reader: it follows the record, however late, and reads a document.
func (m *moves) reader() {
	r := m.now.reader
	if g := m.leads(r); g != 0 && g != r.follows && (m.bug != readerStays || r.follows == 0) {
		n := m.now
		n.reader.follows = g
		m.add(reads, "follows the record to generation "+digit(g), n)
	}
	if r.follows == 0 || !m.now.buckets[r.follows].exists {
		return
	}
	n := m.now
	n.reader.position = m.now.buckets[r.follows].position
	if n.reader.position < r.position {
		m.fail(stepsBack)
	}
	m.add(reads, "reads position "+digit(n.reader.position), n)
}

// leads returns the generation to which the record leads a reader: the generation of the newest fold version
// that its release knows. A reader that has read an older fold version changes when the newer one is as far as
// the reader has read.
func (m *moves) leads(r reader) generation {
	for fold := m.newest; fold >= 0; fold-- {
		g := m.now.record.slots[fold].Serving
		if g == 0 {
			continue
		}
		same := r.follows == 0 || m.foldOf(r.follows) == fold
		if same || m.now.buckets[g].position >= r.position || m.bug == notCompared {
			return g
		}
	}
	return 0
}

func digit(n int8) string { return string(rune('0' + n)) }

// pruner adds the steps of a pruner. It lists the buckets before it reads the record. A bucket is made after
// the record has named it. So if a bucket exists and the record does not name it any more, the record never
// names it again. Each bucket is decided independently of the others, so the pruner looks at one after the
// other.
func (m *moves) pruner(p int) {
	me := m.now.processes[p]
	switch me.place {
	case idle:
		m.prunerBegins(p)
	case compares:
		m.prunerCompares(p, me)
	case deletes:
		m.step(p, "deletes the bucket of generation "+digit(me.on), idle, func(n *state) { n.buckets[me.on].exists = false })
	default: // a place of another role
	}
}

// prunerBegins adds the steps in which a pruner takes the older fold version out of the record while the newer one
// serves, and in which it finds a bucket.
func (m *moves) prunerBegins(p int) {
	older := m.now.record.slots[0]
	switch {
	case m.newest == 0 || m.now.record.slots[1].Serving == 0 || older.Serving == 0:
	case m.bug == deleteFirst:
		m.step(p, "deletes the bucket of generation "+digit(older.Serving), idle, func(n *state) { n.buckets[older.Serving].exists = false })
	default:
		m.writeRecord(p, "takes the older fold version out of the record", idle, idle, func(n *state) {
			n.record.slots[0] = slot{Paused: older.Paused}
		})
	}
	if m.bug == pruneList {
		m.step(p, "reads the record", compares, func(n *state) { n.processes[p].on, n.processes[p].saw = older.Serving, older.Building })
		return
	}
	for g := generation(1); g <= generations; g++ {
		if m.now.buckets[g].exists {
			m.step(p, "finds the bucket of generation "+digit(g), compares, func(n *state) { n.processes[p].on = g })
		}
	}
}

func (m *moves) prunerCompares(p int, me process) {
	if m.bug == pruneList { // it has read the record before
		for g := generation(1); g <= generations; g++ {
			if m.now.buckets[g].exists && g != me.on && g != me.saw {
				m.step(p, "finds the bucket of generation "+digit(g)+", which it has not read of", deletes, func(n *state) { n.processes[p].on = g })
			}
		}
		return
	}
	if m.now.record.uses(me.on) {
		m.step(p, "reads in the record that it is used", idle, nil)
		return
	}
	m.step(p, "reads in the record that it is not used", deletes, nil)
}

// operator adds the steps of an operator, who pauses and resumes the view again and again.
func (m *moves) operator(p int) {
	me := m.now.processes[p]
	slot := m.slotOf(&m.now, p)
	switch me.place {
	case idle:
		to := halts
		if m.bug == pauseHalf {
			to = returned
		}
		m.writeRecord(p, "pauses the view", to, to, func(n *state) { *m.slotOf(n, p) = slot.Pause(true) })
	case halts:
		m.step(p, "reads the record", readsClaim, func(n *state) { n.processes[p].on = slot.Serving })
	case readsClaim:
		if !m.now.buckets[me.on].exists {
			m.step(p, "finds no bucket, and Pause returns", returned, nil)
			return
		}
		m.step(p, "reads the serving checkpoint", endsClaim, func(n *state) { n.processes[p].knows = true })
	case endsClaim:
		m.writeCheckpoint(p, "writes the serving checkpoint, and Pause returns", outcome{returned, halts, halts}, false, func(*state) {})
	case returned:
		m.writeRecord(p, "resumes the view", idle, idle, func(n *state) { *m.slotOf(n, p) = slot.Pause(false) })
	default: // a place of another role
	}
}
