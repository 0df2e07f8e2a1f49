package main

import "github.com/runnel-go/runnel/internal/protocol"

// afterAction returns the place of a runner after Open has decided.
var afterAction = [...]place{
	protocol.Claim:  claims,
	protocol.Move:   idle,
	protocol.Wait:   idle,
	protocol.Abort:  aborts,
	protocol.Resume: lifts,
	protocol.Fold:   folds,
}

// kill describes a step in which a process loses all its knowledge.
const kill = "is killed and starts again"

// again is the place of a runner after a write that failed or whose answer was lost: the runner begins again.
func again(stored place) outcome { return outcome{stored: stored, refused: idle, lost: idle} }

func (m *moves) runner(p int) {
	me := m.now.processes[p]
	slot := m.now.record.slots[m.parts[p].fold]
	if me.place != idle {
		m.step(p, kill, idle, nil)
	}
	switch me.place {
	case idle:
		if slot.Serving != 0 {
			m.step(p, "reads the record", readsCheckpoint, func(n *state) {
				n.processes[p].on = slot.Serving
				if m.bug == recordOnce {
					n.processes[p].saw = slot.Building
				}
			})
		}
	case readsCheckpoint:
		m.runnerReadsCheckpoint(p, me)
	case readsRecordAgain:
		m.runnerDecides(p, fence{Retired: me.saw}, slot, func(n *state) { n.processes[p].saw = slot.Building })
	case claims:
		to := confirms
		if m.bug == unconfirmed {
			to = folds
		}
		m.writeCheckpoint(p, "claims the generation", again(to), false, func(*state) {})
	case confirms:
		to := idle
		if m.claimed(me.on, slot) == protocol.Fold {
			to = folds
		}
		m.step(p, "reads the record after its write", to, nil)
	case aborts:
		m.runnerAborts(p, me, slot)
	case lifts:
		m.writeCheckpoint(p, "lifts the fence", again(confirms), m.bug == blindLift, func(n *state) {
			n.buckets[me.on].fence = n.buckets[me.on].fence.Lift()
		})
	case folds:
		m.runnerFolds(p, me, slot)
	default: // a place of another role
	}
}

func (m *moves) runnerReadsCheckpoint(p int, me process) {
	read := m.now.buckets[me.on]
	if !read.exists {
		m.step(p, "finds no bucket", idle, nil)
		return
	}
	knows := func(n *state) { n.processes[p].knows = true }
	if m.bug == recordOnce { // it decides by the record that it has read before
		m.runnerDecides(p, read.fence, slot{Serving: me.on, Building: me.saw}, knows)
		return
	}
	m.step(p, "reads the checkpoint", readsRecordAgain, func(n *state) {
		knows(n)
		n.processes[p].saw = read.fence.Retired
	})
}

// runnerDecides adds the steps of a runner that asks Open, with patience and without.
func (m *moves) runnerDecides(p int, read fence, record slot, change func(n *state)) {
	on := m.now.processes[p].on
	patient := m.open(on, read, record, true)
	hasty := m.open(on, read, record, false)
	what := "reads the record again"
	if m.bug == recordOnce {
		what = "reads the checkpoint"
	}
	m.step(p, what, afterAction[patient], change)
	if hasty != patient {
		m.step(p, what+" and has lost patience", afterAction[hasty], change)
	}
}

// open asks the protocol, unless a seeded bug decides.
func (m *moves) open(on generation, read fence, record slot, patient bool) protocol.Action {
	switch m.bug {
	case pauseUnread:
		record.Paused = false
	case fenceUnread:
		read = fence{}
	case alwaysPatient:
		patient = true
	default:
	}
	action := protocol.Open(on, read, record, patient)
	if action == protocol.Abort && (m.bug == noAbort || m.bug == abortNamed && record.Building != read.Retired) {
		return protocol.Resume
	}
	return action
}

// claimed asks the protocol, unless a seeded bug decides.
func (m *moves) claimed(on generation, record slot) protocol.Action {
	if m.bug == pauseUnread {
		record.Paused = false
	}
	return protocol.Claimed(on, record)
}

// runnerAborts adds the step in which a runner takes the place from the build that it has read of, if that still has
// it.
func (m *moves) runnerAborts(p int, me process, slot slot) {
	switch {
	case m.bug == blindAbort: // it writes the record that it has read
		m.writeRecord(p, "aborts the build", lifts, lifts, func(n *state) {
			slot.Serving = me.on
			*m.slotOf(n, p) = slot.Abort()
		})
	case slot.Building == me.saw:
		m.writeRecord(p, "aborts the build", lifts, lifts, func(n *state) { *m.slotOf(n, p) = slot.Abort() })
	case slot.Building == 0 && slot.Serving != me.saw:
		m.step(p, "finds the build aborted", lifts, nil)
	default:
		m.step(p, "finds that it need not abort the build", idle, nil)
	}
}

func (m *moves) runnerFolds(p int, me process, slot slot) {
	if m.now.buckets[me.on].position == m.now.log {
		return
	}
	m.writeCheckpoint(p, "folds a commit", again(folds), m.bug == blindFold, func(n *state) {
		switch {
		case slot.Serving != me.on && slot.Serving != 0:
			m.fail(replaced)
		case m.pauseHasReturned():
			m.fail(paused)
		}
		n.buckets[me.on].position++
	})
}

// pauseHasReturned reports whether an operator has paused the view, and Pause has returned.
func (m *moves) pauseHasReturned() bool {
	for p, part := range m.parts {
		at := m.now.processes[p].place
		if part.role == operator && at == returned && m.now.record.slots[part.fold].Paused {
			return true
		}
	}
	return false
}
