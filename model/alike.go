package main

// canonical turns states that differ only by an exchange of two twins into one state, so that only one of them
// is explored. It returns true if it has exchanged the runners.
func (sc *scope) canonical(s *state) (exchanged bool) {
	for _, t := range sc.twins {
		a, b := t[0], t[1]
		switch {
		case sc.parts[a].role == builder && sc.builderOrder(s, a) > sc.builderOrder(s, b):
			sc.exchangeBuilders(s, a, b)
		case sc.parts[a].role == runner && s.processes[a].order() > s.processes[b].order():
			s.processes[a], s.processes[b] = s.processes[b], s.processes[a]
			exchanged = true
		}
	}
	return exchanged
}

// order returns another number for each value of a process.
func (p process) order() uint64 {
	return pack(uint64(p.place), uint64(p.on), uint64(p.saw), uint64(p.goal), bit(p.knows), bit(p.late))
}

// builderOrder returns a number that does not depend on the names of generations.
func (sc *scope) builderOrder(s *state, p int) uint64 {
	own, me := sc.parts[p].builds, s.processes[p]
	slot := s.record.slots[sc.parts[p].fold]
	place := bit(slot.Serving == own) + 2*bit(slot.Building == own) + 4*bit(s.reader.follows == own)
	knows := bit(me.knows) + 2*bit(me.late)
	return pack(uint64(me.place), uint64(me.goal), knows, place, bit(s.buckets[own].exists), uint64(s.buckets[own].position))
}

func pack(values ...uint64) (packed uint64) {
	for _, v := range values {
		packed = packed<<8 | v
	}
	return packed
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// exchangeBuilders exchanges two builders, and the names of the generations that they build.
func (sc *scope) exchangeBuilders(s *state, a, b int) {
	x, y := sc.parts[a].builds, sc.parts[b].builds
	rename := func(g *generation) {
		switch *g {
		case x:
			*g = y
		case y:
			*g = x
		}
	}
	s.processes[a], s.processes[b] = s.processes[b], s.processes[a]
	s.buckets[x], s.buckets[y] = s.buckets[y], s.buckets[x]
	for i := range s.record.slots {
		rename(&s.record.slots[i].Serving)
		rename(&s.record.slots[i].Building)
	}
	for i := range s.buckets {
		rename(&s.buckets[i].fence.Retired)
	}
	for i := range s.processes {
		rename(&s.processes[i].on)
		rename(&s.processes[i].saw)
	}
	rename(&s.reader.follows)
}
