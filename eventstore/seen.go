package eventstore

import "sync/atomic"

// seen holds the highest commit that was acknowledged or read, and on which connection the log was found to have it.
type seen struct {
	mark     atomic.Pointer[mark]   // the high-water mark, once it was found in the log; never nil
	newest   atomic.Pointer[Commit] // the highest commit that was acknowledged or read, or nil
	compared atomic.Uint64          // the number of the connection on which the log was found right, or 0
	use      chan struct{}          // holds one if the store was used since the marker looked at the log
}

func newSeen() *seen {
	s := &seen{use: make(chan struct{}, 1)}
	s.mark.Store(&mark{})
	return s
}

// see takes note of a commit that is in the log. It neither blocks nor allocates.
func (s *seen) see(c *Commit) {
	for {
		newest := s.newest.Load()
		if newest != nil && newest.Position >= c.Position {
			if newest.Position == c.Position && newest.ID != c.ID {
				s.distrust() // the next use finds out what that means
			}
			return
		}
		if s.newest.CompareAndSwap(newest, c) {
			s.used()
			return
		}
	}
}

// used makes the marker look at the log soon. It neither blocks nor allocates. Reads of a look do not call it, because
// each look would lead to another.
func (s *seen) used() {
	select {
	case s.use <- struct{}{}:
	default:
	}
}

// known returns the marks to compare the log with. The identity is the store's.
func (s *seen) known(identity string) []mark {
	known := []mark{*s.mark.Load()}
	if c := s.newest.Load(); c != nil && c.Position > known[0].Position {
		known = append(known, mark{Store: identity, Position: c.Position, Commit: c.ID.String()})
	}
	return known
}

// highest is the highest position that was seen, or the mark's.
func (s *seen) highest() Position {
	highest := s.mark.Load().Position
	if c := s.newest.Load(); c != nil {
		highest = max(highest, c.Position)
	}
	return highest
}

// comparedOn reports whether the log was compared on this connection, by its number. It never is after a verdict.
func (s *seen) comparedOn(connection uint64) bool { return s.compared.Load() == connection }

// distrust makes the next append or load compare the log again.
func (s *seen) distrust() { s.compared.Store(0) }
