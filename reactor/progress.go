package reactor

import (
	"container/list"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/eventstore"
)

// progress says which events of the log are done, and so where the checkpoint may stand.
type progress struct {
	behind   logMark             // the last place in what was read where a checkpoint may stand
	frontier eventstore.Position // of the last commit read
	last     uuid.UUID           // the id of that commit
	underWay list.List           // of *passage, the commits with events that are not done, in the log's order
	pending  int                 // events in them
}

// passage is one commit on its way through the session.
type passage struct {
	before logMark // where the checkpoint stands while the commit is not done
	open   int     // its events that are not done
}

// add notes an event that is not done. It is of the commit that is read now, whose passage is nil before its first
// such event.
func (p *progress) add(in *list.Element) *list.Element {
	if in == nil {
		in = p.underWay.PushBack(&passage{before: p.behind})
	}
	in.Value.(*passage).open++
	p.pending++
	return in
}

// read notes that all events of a commit that are not done are added.
func (p *progress) read(c *eventstore.Commit) {
	p.frontier, p.last = c.Position, c.ID
	if c.Whole() {
		p.behind = logMark{c.Position, c.ID}
	}
}

// pass notes that an event is done, or that its document says that it is not.
func (p *progress) pass(t task) {
	if t.passage == nil {
		return // it was read again for a replay; the checkpoint has passed it
	}
	p.pending--
	in := t.passage.Value.(*passage)
	if in.open--; in.open == 0 {
		p.underWay.Remove(t.passage)
	}
}

// mark returns where the checkpoint may stand now.
func (p *progress) mark() logMark {
	if first := p.underWay.Front(); first != nil {
		return first.Value.(*passage).before
	}
	return p.behind
}
