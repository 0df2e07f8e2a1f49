package main

import "fmt"

// maxEvents is the longest log of a hand-over.
const maxEvents = 4

// handover is the world of a reactor that two releases of a program run. Both handle events of type a, and the
// newer one also handles events of type b. They share one checkpoint.
type handover struct {
	name    string
	commits int8
	newer   []bool // of each instance, whether it is of the newer release
	bug     bug
	now     releases
	found   []move[releases]
}

// releases is a state of a hand-over.
type releases struct {
	log       int8
	b         [maxEvents + 1]bool // whether an event is of type b
	handled   [maxEvents + 1]bool
	at        turn
	announced int8 // where the log ended when the newer release had announced itself, or -1
	instances [3]instance
}

// turn is the checkpoint of a reactor. It says up to where events of the last runner's types are done. If
// events of type b are done up to another position, it says that as well.
type turn struct {
	position int8
	since    int8 // for events of type b, or -1
	newer    bool // whether the last runner handles events of type b
	runner   int8 // an instance, or -1
}

// instance is a process that runs the reactor, or stands by.
type instance struct {
	place    place
	end      int8    // of the log, when it was opened
	done     [2]int8 // up to where events of type a and of type b were done when it took over, beyond the frontier
	seen     turn    // the checkpoint as it was last, for a seeded bug
	frontier int8    // it has read the log up to here
	knows    bool    // nobody else has written the checkpoint since it has read it
}

// The places of an instance.
const (
	opens place = iota
	announces
	stands
	works
)

func (h *handover) about() about {
	a := about{name: h.name, commits: h.commits}
	for i := range h.newer {
		a.processes = append(a.processes, h.nameOf(i))
	}
	return a
}

func (h *handover) first() releases {
	return releases{announced: -1, at: turn{since: -1, runner: -1}}
}

func (h *handover) canonical(*releases) bool { return false }

// live names the instance of the newer release that must be enough.
func (h *handover) live() [][]int { return [][]int{{len(h.newer) - 1}} }

func (h *handover) good(s *releases) bool {
	return s.at.newer && s.at.position == s.log && s.at.since < 0
}

func (h *handover) nameOf(i int) string {
	switch {
	case i == appends:
		return "log"
	case h.newer[i]:
		return fmt.Sprintf("newer %d", i)
	}
	return fmt.Sprintf("older %d", i)
}

func (h *handover) line(step move[releases]) string { return h.nameOf(step.by) + " " + step.what }

func (h *handover) all(now releases) []move[releases] {
	h.now, h.found = now, h.found[:0]
	if now.log < h.commits {
		for _, b := range []bool{false, true} {
			n := now
			n.log++
			n.b[n.log] = b
			h.add(appends, "gets an event of type "+typeName(b), n)
		}
	}
	for i := range h.newer {
		h.instance(i)
	}
	return h.found
}

func typeName(b bool) string {
	if b {
		return "b"
	}
	return "a"
}

// add adds a step, and checks whether the checkpoint calls an event done that is not.
func (h *handover) add(by int, what string, n releases) {
	breaks := holds
	for e := int8(1); e <= n.log; e++ {
		wanted := !n.b[e] || n.announced >= 0 && e > n.announced
		if wanted && !n.handled[e] && e <= n.at.doneUpTo(n.b[e]) {
			breaks = passedOver
		}
	}
	h.found = append(h.found, move[releases]{next: n, by: by, what: what, breaks: breaks})
}

// doneUpTo returns the position up to which events of a type are done, or -1 if the checkpoint does not know the
// type.
func (t turn) doneUpTo(b bool) int8 {
	switch {
	case b && t.since >= 0:
		return t.since
	case b && !t.newer:
		return -1
	}
	return t.position
}

func (h *handover) step(i int, what string, to place, change func(n *releases, me *instance)) {
	n := h.now
	me := &n.instances[i]
	me.place = to
	change(&n, me)
	if to != works {
		*me = instance{place: to, end: me.end}
	}
	if to != announces {
		me.end = 0
	}
	for kind := range me.done {
		if me.done[kind] <= me.frontier {
			me.done[kind] = 0
		}
	}
	h.add(i, what, n)
}

// write adds a step that writes the checkpoint.
func (h *handover) write(i int, what string, to place, change func(n *releases, me *instance)) {
	h.step(i, what, to, func(n *releases, me *instance) {
		change(n, me)
		for k := range n.instances {
			n.instances[k].knows = k == i
		}
		if h.bug == blindTurn {
			me.seen = n.at
		}
	})
}

func (h *handover) instance(i int) {
	me := h.now.instances[i]
	if me.place != opens {
		h.step(i, kill, opens, func(*releases, *instance) {})
	}
	switch me.place {
	case opens:
		if !h.newer[i] {
			h.step(i, "is opened", stands, func(*releases, *instance) {})
			return
		}
		h.step(i, "is opened and reads the log's end", announces, func(n *releases, me *instance) { me.end = n.log })
	case announces:
		h.announce(i)
	case stands:
		h.write(i, "takes over", works, func(n *releases, me *instance) {
			n.at = h.takenBy(i, n.at)
			me.frontier, me.done = h.lowest(i, n.at), [2]int8{n.at.doneUpTo(false), n.at.doneUpTo(true)}
		})
	case works:
		h.work(i, me)
	default: // there are no other places
	}
}

// announce adds the step in which a newer release writes its types into the checkpoint, from the log's end on.
func (h *handover) announce(i int) {
	h.write(i, "announces events of type b", stands, func(n *releases, me *instance) {
		if n.announced < 0 {
			n.announced = n.log
		}
		if h.bug != unannounced && n.at.doneUpTo(true) < 0 {
			n.at.since = me.end
		}
	})
}

// takenBy returns the checkpoint once an instance has taken over.
func (h *handover) takenBy(i int, at turn) turn {
	if at.newer && !h.newer[i] && h.bug != sinceForgotten {
		at.since = at.doneUpTo(true)
	}
	at.newer, at.runner = h.newer[i], int8(i)
	return at
}

// lowest returns where an instance begins to read.
func (h *handover) lowest(i int, at turn) int8 {
	if h.newer[i] && h.bug != fromPosition {
		return min(at.position, at.doneUpTo(true))
	}
	return at.position
}

// work adds the steps of an instance that runs: it handles the next event, or passes it over, and now and then it
// writes the checkpoint.
func (h *handover) work(i int, me instance) {
	if e := me.frontier + 1; e <= h.now.log {
		b := h.now.b[e]
		wanted := (h.newer[i] || !b) && e > me.done[bit(b)]
		what := "passes over event "
		if wanted {
			what = "handles event "
		}
		h.step(i, what+digit(e), works, func(n *releases, me *instance) {
			n.handled[e] = n.handled[e] || wanted
			me.frontier++
		})
	}
	switch {
	case h.bug == blindTurn:
		h.write(i, "writes the checkpoint", works, func(n *releases, me *instance) { n.at = me.seen.reached(me.frontier) })
	case me.knows:
		if h.now.at != h.now.at.reached(me.frontier) {
			h.write(i, "writes the checkpoint", works, func(n *releases, me *instance) { n.at = n.at.reached(me.frontier) })
		}
	case h.now.at.runner == int8(i) || h.bug == replacedUnseen:
		h.step(i, "reads the checkpoint, which another one has written", works, func(_ *releases, me *instance) { me.knows = true })
	default:
		h.step(i, "reads that another one runs", stands, func(*releases, *instance) {})
	}
}

// reached returns the checkpoint once all events of its runner's types up to a position are done.
func (t turn) reached(low int8) turn {
	t.position = max(t.position, low)
	switch {
	case !t.newer || t.since < 0 || t.since > low:
	case low >= t.position:
		t.since = -1
	default:
		t.since = low
	}
	return t
}
