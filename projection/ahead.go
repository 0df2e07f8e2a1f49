package projection

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// readers is how many documents a session reads at the same time.
const readers = 32

// lookAhead reads the documents that changes are about, many at a time: one after the other, each would cost a round trip.
func (s *session[V]) lookAhead(ctx context.Context, all [][]change[V]) error {
	unknown := s.unknown(all)
	if len(unknown) < 2 {
		return nil // as well read when it is wanted
	}
	docs, errs := make([]document[V], len(unknown)), make([]error, len(unknown))
	var next atomic.Int64
	var reading sync.WaitGroup
	for range min(readers, len(unknown)) {
		reading.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(unknown); i = int(next.Add(1)) - 1 {
				docs[i], errs[i] = s.stored(ctx, unknown[i])
			}
		})
	}
	reading.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for i, key := range unknown {
		s.ahead[key] = docs[i]
	}
	return nil
}

// unknown gives the keys of changes whose documents are not in memory.
func (s *session[V]) unknown(all [][]change[V]) []string {
	var keys []string
	seen := make(map[string]bool)
	for _, changes := range all {
		for _, c := range changes {
			_, dirty := s.dirty[c.key]
			_, clean := s.clean.Get(c.key)
			_, parked := s.parked[c.key]
			if !dirty && !clean && !parked && !seen[c.key] {
				seen[c.key] = true
				keys = append(keys, c.key)
			}
		}
	}
	return keys
}
