package main

func (m *moves) builder(p int) {
	me := m.now.processes[p]
	own := m.scope.parts[p].builds
	if me.late {
		m.step(p, "has sent a flip that arrives only now", me.place, func(n *state) {
			m.flip(n, p)
			n.wroteRecord(p)
			n.processes[p].knowsRecord = false
		})
	}
	switch me.place {
	case idle:
		m.readRecord(p, "reads the record", takes, nil)
	case takes:
		m.builderTakes(p, "takes the place of the build", outcome{makesBucket, idle, looks}, false)
	case makesBucket:
		m.step(p, "makes its bucket", builds, func(n *state) { n.buckets[own].exists = true })
	case builds:
		m.builderBuilds(p, own)
	case readsServing:
		m.builderReadsServing(p, me)
	case retires:
		m.builderRetires(p, me, own)
	case catchesUp:
		m.builderCatchesUp(p, me, own)
	case looks:
		m.builderLooks(p, own)
	case flips:
		m.builderFlips(p, me)
	case withdraws:
		m.writeRecord(p, "takes its build back", outcome{deletesOwn, looks, looks}, false, func(n *state) {
			slot := m.slotOf(n, p)
			*slot = slot.Abort()
		})
	case deletesOwn:
		m.step(p, "deletes its bucket", done, func(n *state) { n.buckets[own].exists = false })
	default: // it is done
	}
}

// slotOf returns the slot in which a process works.
func (m *moves) slotOf(s *state, p int) *slot { return &s.record.slots[m.scope.parts[p].fold] }

func (m *moves) builderTakes(p int, what string, to outcome, blind bool) {
	m.writeRecord(p, what, to, blind, func(n *state) {
		slot := m.slotOf(n, p)
		*slot = slot.Take(m.scope.parts[p].builds)
		n.processes[p].on = slot.Serving
	})
}

func (m *moves) builderBuilds(p int, own generation) {
	if m.now.buckets[own].position < m.now.log {
		m.step(p, "folds a commit", builds, func(n *state) { n.buckets[own].position++ })
	}
	to := readsServing
	if m.now.processes[p].on == 0 || m.bug == noFence {
		to = looks
	}
	m.step(p, "takes it that it has caught up", to, nil)
}

func (m *moves) builderReadsServing(p int, me process) {
	serving := m.now.buckets[me.on]
	if !serving.exists {
		m.step(p, "finds that what it would replace is gone", looks, nil)
		return
	}
	m.step(p, "reads the serving checkpoint", retires, func(n *state) {
		n.processes[p].knowsCheckpoint = true
		if m.bug == blindFence {
			n.processes[p].goal = serving.position
		}
	})
}

func (m *moves) builderRetires(p int, me process, own generation) {
	to := catchesUp
	if m.bug == noCatchUp {
		to = looks
	}
	m.writeCheckpoint(p, "retires the serving generation", outcome{to, readsServing, readsServing}, m.bug == blindFence, func(n *state) {
		serving := &n.buckets[me.on]
		serving.fence = serving.fence.Retire(own)
		if m.bug != blindFence {
			n.processes[p].goal = serving.position
		}
	})
}

func (m *moves) builderCatchesUp(p int, me process, own generation) {
	if m.now.buckets[own].position < me.goal {
		m.step(p, "folds a commit that it lacks", catchesUp, func(n *state) { n.buckets[own].position++ })
		return
	}
	m.step(p, "is as far as the generation that it retired", looks, nil)
}

// builderLooks adds the step in which a builder reads what has become of its place in the record.
func (m *moves) builderLooks(p int, own generation) {
	slot := m.slotOf(&m.now, p)
	switch {
	case m.bug == blindFlip:
		m.step(p, "goes on", flips, nil)
	case slot.Building == own && !m.now.buckets[own].exists:
		m.step(p, "reads that it has the place", makesBucket, func(n *state) { n.processes[p].on = slot.Serving })
	case slot.Building == own:
		m.readRecord(p, "reads that it has the place", flips, nil)
		if m.scope.lost {
			m.readRecord(p, "reads that it has the place, and gives up", withdraws, nil)
		}
	case slot.Serving == own || m.now.record.kept[own]:
		m.step(p, "reads that it has flipped", done, nil)
	case m.bug == takesAgain && m.now.buckets[own].exists:
		m.builderTakes(p, "takes the place again", outcome{looks, looks, looks}, true)
	default:
		m.step(p, "reads that it has lost the place", deletesOwn, nil)
	}
}

func (m *moves) builderFlips(p int, me process) {
	unanswered := looks
	if m.bug == unansweredFailed {
		unanswered = deletesOwn
	}
	m.writeRecord(p, "flips", outcome{done, looks, unanswered}, m.bug == blindFlip, func(n *state) { m.flip(n, p) })
	if m.scope.lost && me.knowsRecord {
		m.step(p, "sends its flip and waits no longer", unanswered, func(n *state) { n.processes[p].late = true })
	}
}

// flip changes the record. Only a seeded bug flips a build that has lost the place.
func (m *moves) flip(n *state, p int) {
	slot := m.slotOf(n, p)
	before := slot.Serving
	next, ok := slot.Flip(m.scope.parts[p].builds)
	if !ok {
		m.fail(both)
		next.Serving, next.Building = m.scope.parts[p].builds, 0
	}
	*slot = next
	n.record.kept[before] = before != 0
}
