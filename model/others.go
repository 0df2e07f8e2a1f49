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

// leads returns the generation to which the record leads a reader: that of the newest fold version which its release
// knows. A reader that has read an older fold version changes once the newer one is as far as what it has read.
func (m *moves) leads(r reader) generation {
	for fold := m.scope.newest; fold >= 0; fold-- {
		g := m.now.record.slots[fold].Serving
		if g == 0 {
			continue
		}
		same := r.follows == 0 || m.scope.foldOf(r.follows) == fold
		if same || m.now.buckets[g].position >= r.position || m.bug == notCompared {
			return g
		}
	}
	return 0
}

func digit(n int8) string { return string(rune('0' + n)) }

func (m *moves) pruner(p int) {
	me := m.now.processes[p]
	switch me.place {
	case idle:
		m.readRecord(p, "reads the record", removes, func(n *state) {
			if m.bug == pruneList {
				n.processes[p].on, n.processes[p].saw = m.now.record.slots[0].Serving, m.now.record.slots[0].Building
			}
		})
	case removes:
		m.step(p, "finds nothing more to do", idle, nil)
		for g := generation(1); g <= generations; g++ {
			m.pruneOne(p, me, g)
		}
	case deletes:
		m.step(p, "deletes the bucket of generation "+digit(me.on), idle, func(n *state) { n.buckets[me.on].exists = false })
	default: // a place of another role
	}
}

// pruneOne adds the step in which a pruner takes a generation out of the record: one that has been replaced, or one
// of the older fold version while the newer one serves.
func (m *moves) pruneOne(p int, me process, g generation) {
	older := &m.now.record.slots[0]
	outdated := m.now.record.slots[1].Serving != 0 && older.Serving == g
	switch {
	case m.bug == pruneList && m.now.buckets[g].exists && g != me.on && g != me.saw:
		m.step(p, "deletes the bucket of generation "+digit(g)+", which it has not read of", removes, func(n *state) { n.buckets[g].exists = false })
	case m.bug == pruneList || !m.now.record.kept[g] && !outdated:
	case m.bug == deleteFirst:
		m.step(p, "deletes the bucket of generation "+digit(g), removes, func(n *state) { n.buckets[g].exists = false })
	case me.knowsRecord:
		m.writeRecord(p, "takes generation "+digit(g)+" out of the record", outcome{deletes, idle, idle}, false, func(n *state) {
			n.processes[p].on = g
			n.record.kept[g] = false
			if outdated {
				n.record.slots[0] = slot{Paused: older.Paused}
			}
		})
	}
}

func (m *moves) operator(p int) {
	me := m.now.processes[p]
	switch me.place {
	case idle:
		m.readRecord(p, "reads the record", pauses, nil)
	case pauses:
		m.operatorPauses(p)
	case readsClaim:
		if !m.now.buckets[me.on].exists {
			m.step(p, "finds no bucket, and Pause returns", returned, nil)
			return
		}
		m.step(p, "reads the serving checkpoint", endsClaim, func(n *state) { n.processes[p].knowsCheckpoint = true })
	case endsClaim:
		m.writeCheckpoint(p, "writes the serving checkpoint, and Pause returns", outcome{returned, readsClaim, readsClaim}, false, func(*state) {})
	case returned:
		m.readRecord(p, "reads the record, to resume", resumes, nil)
	case resumes:
		m.writeRecord(p, "resumes the view", outcome{idle, returned, returned}, false, func(n *state) {
			slot := m.slotOf(n, p)
			*slot = slot.Pause(false)
		})
	default: // a place of another role
	}
}

func (m *moves) operatorPauses(p int) {
	to := readsClaim
	if m.bug == pauseHalf {
		to = returned
	}
	m.writeRecord(p, "pauses the view", outcome{to, idle, idle}, false, func(n *state) {
		slot := m.slotOf(n, p)
		*slot = slot.Pause(true)
		n.processes[p].on = slot.Serving
	})
}
