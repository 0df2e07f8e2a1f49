package main

func (m *moves) builder(p int) {
	me := m.now.processes[p]
	own := m.parts[p].builds
	if me.late {
		m.writeRecord(p, "has sent a flip that arrives only now", me.place, me.place, func(n *state) { m.flip(n, p) })
	}
	switch me.place {
	case idle:
		m.builderTakes(p, "takes the place of the build")
	case clears:
		m.step(p, "deletes the bucket of build "+digit(me.saw)+", which had the place", makesBucket,
			func(n *state) { n.buckets[me.saw].exists = false })
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
	case deletesOwn:
		m.step(p, "deletes its bucket", done, func(n *state) { n.buckets[own].exists = false })
	default: // it is done
	}
}

// slotOf returns the slot in which a process works.
func (m *moves) slotOf(s *state, p int) *slot { return &s.record.slots[m.parts[p].fold] }

// builderTakes adds the step in which a builder takes the place. It may take it from another builder, whose
// bucket it then deletes.
func (m *moves) builderTakes(p int, what string) {
	to := makesBucket
	switch {
	case m.bug == takesAgain && m.now.processes[p].place == looks:
		to = looks
	case m.slotOf(&m.now, p).Building != 0:
		to = clears
	}
	m.writeRecord(p, what, to, looks, func(n *state) {
		slot := m.slotOf(n, p)
		n.processes[p].on, n.processes[p].saw = slot.Serving, slot.Building
		*slot = slot.Take(m.parts[p].builds)
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
		n.processes[p].knows = true
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

// builderLooks adds the steps of a builder that has read in the record what has become of its place.
func (m *moves) builderLooks(p int, own generation) {
	slot := m.slotOf(&m.now, p)
	exists := m.now.buckets[own].exists
	switch {
	case m.bug == takesAgain && slot.Building != own && exists, m.bug == sameName && slot.Building != own && !exists:
		m.builderTakes(p, "takes the place again")
	case slot.Building == own && !exists:
		m.step(p, "reads that it has the place", makesBucket, func(n *state) { n.processes[p].on = slot.Serving })
	case slot.Building == own, m.bug == blindFlip:
		m.builderFlips(p)
	case slot.Serving == own:
		m.step(p, "reads that it has flipped", done, nil)
	default:
		m.step(p, "reads that it has lost the place", deletesOwn, nil)
	}
}

// builderFlips adds the outcomes of a flip of a builder that has the place, and the step in which the builder
// leaves the place.
func (m *moves) builderFlips(p int) {
	to := looks
	if m.bug == unansweredFailed {
		to = deletesOwn
	}
	m.writeRecord(p, "flips", done, to, func(n *state) { m.flip(n, p) })
	if m.lost {
		m.step(p, "sends its flip and waits no longer", to, func(n *state) { n.processes[p].late = true })
		m.writeRecord(p, "gives up its place", deletesOwn, looks, func(n *state) {
			slot := m.slotOf(n, p)
			*slot = slot.Abort()
		})
	}
}

// flip changes the record. Only a seeded bug flips a build that has lost the place.
func (m *moves) flip(n *state, p int) {
	slot := m.slotOf(n, p)
	next, ok := slot.Flip(m.parts[p].builds)
	if !ok {
		m.fail(both)
		next.Serving, next.Building = m.parts[p].builds, 0
	}
	*slot = next
}
