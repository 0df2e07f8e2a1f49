package kv

import (
	"context"
	"errors"
	"iter"

	"github.com/nats-io/nats.go"

	"github.com/runnel-go/runnel/internal/jsapi"
)

const (
	// listBytes bounds what one replica sends at once: its answer is held until all of it was given.
	listBytes = 8 << 20
	// leastPart and mostPart bound how many messages one replica is asked for at once. Writes to that replica wait while it reads.
	// For each request it counts what is left, so a large bucket is read in larger parts.
	leastPart, mostPart = 1000, 10_000
	partsOfAll          = 64
	// snapshots is how often a replica that is behind is asked for all there is.
	snapshots = 3
)

// list gives the newest message of each subject that matches one of the filters, by their sequences, and then ends, or with one
// error. It holds nothing on the servers.
//
//	up to 1024 messages  one answer of a replica that has all that the leader had when the list began
//	more, or larger      parts, each from any replica; the leader says when there is no more
func (c *core) list(ctx context.Context, op string, filters []string) iter.Seq2[jsapi.Message, error] {
	return func(yield func(jsapi.Message, error) bool) {
		l := lister{core: c, op: op, filters: filters}
		err := l.run(ctx, func(m jsapi.Message) bool { return yield(m, nil) })
		if err != nil {
			yield(jsapi.Message{}, c.iterError(ctx, op, err))
		}
	}
}

// lister is one list.
type lister struct {
	*core
	op      string
	filters []string
}

func (l *lister) run(ctx context.Context, give func(jsapi.Message) bool) error {
	found, whole, err := l.snapshot(ctx)
	switch {
	case err != nil:
		return err
	case !whole:
		return l.merge(ctx, give)
	}
	if err := l.disk.Wait(ctx, lastOf(found)); err != nil {
		return err
	}
	for _, m := range found {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !give(m) {
			return nil
		}
	}
	return nil
}

// snapshot asks for everything at once. It is not whole where there is too much for one answer, or the replicas are behind.
func (l *lister) snapshot(ctx context.Context) (found []jsapi.Message, whole bool, err error) {
	var leader jsapi.Info
	err = l.insist(ctx, l.op, func(ctx context.Context) (err error) {
		leader, err = l.client.LeaderInfo(ctx, l.stream, "", 0)
		return err
	})
	if err != nil || leader.Last == 0 {
		return nil, err == nil, err
	}
	for try := 1; try <= snapshots; try++ {
		part, err := l.ask(ctx, func(ctx context.Context) (jsapi.Part, error) {
			return l.client.DirectLastMany(ctx, l.stream, l.filters, listBytes)
		})
		switch {
		case errors.Is(err, jsapi.ErrTooMany), errors.Is(err, jsapi.ErrUnreadable), errors.Is(err, jsapi.ErrMalformed),
			errors.Is(err, nats.ErrMaxPayload), part.Pending > 0, err == nil && len(part.Found) == 0:
			return nil, false, nil
		case err != nil:
			return nil, false, err
		case part.UpTo >= leader.Last:
			return part.Found, true, nil
		}
		if err := l.client.Pause(ctx, again, try); err != nil {
			return nil, false, err
		}
	}
	return nil, false, nil
}

// ask insists on one part.
func (l *lister) ask(ctx context.Context, get func(context.Context) (jsapi.Part, error)) (part jsapi.Part, err error) {
	err = l.insist(ctx, l.op, func(ctx context.Context) error {
		part, err = get(ctx)
		if errors.Is(err, nats.ErrNoResponders) {
			return errors.Join(err, l.same(ctx)) // perhaps there is no bucket any more
		}
		return err
	})
	return part, err
}

// merge gives what scans of the filters find. A message that several find is given once.
func (l *lister) merge(ctx context.Context, give func(jsapi.Message) bool) error {
	scans := make([]scan, len(l.filters))
	for i, filter := range l.filters {
		scans[i] = scan{lister: l, filter: filter, size: leastPart, next: 1}
	}
	for {
		first, err := lowest(ctx, scans)
		if err != nil || first == nil {
			return err
		}
		for i := range scans {
			if part := scans[i].part; len(part) > 0 && part[0].Sequence == first.Sequence {
				scans[i].part = part[1:]
			}
		}
		if !give(*first) {
			return nil
		}
	}
}

// lowest returns the message with the lowest sequence of those that are next in the scans, or nil where all are at their end.
func lowest(ctx context.Context, scans []scan) (first *jsapi.Message, err error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	for i := range scans {
		s := &scans[i]
		for len(s.part) == 0 && !s.done {
			if err := s.fill(ctx); err != nil {
				return nil, err
			}
		}
		if len(s.part) > 0 && (first == nil || s.part[0].Sequence < first.Sequence) {
			first = &s.part[0]
		}
	}
	return first, nil
}

// scan reads what matches one filter in parts.
//
// A document may be replaced, and so move behind what was read, at one replica and not yet at the one that is asked next. So the
// scan is at its end only where the leader has nothing behind it, or where one replica has given all it has, and that was not
// older than what the leader had after all the parts before.
type scan struct {
	*lister
	filter string
	size   int             // of the next part
	next   uint64          // the sequence at which it begins
	part   []jsapi.Message // what was not given yet of the last one
	sure   uint64          // the newest that the leader had after all the parts before the next one, 0 where it was not asked
	done   bool
}

// fill asks any replica for the next part.
func (s *scan) fill(ctx context.Context) error {
	part, err := s.ask(ctx, func(ctx context.Context) (jsapi.Part, error) {
		return s.client.DirectNextMany(ctx, s.stream, s.filter, s.next, s.size, listBytes)
	})
	switch {
	case errors.Is(err, jsapi.ErrMalformed):
		return s.fillByLeader(ctx)
	case err != nil:
		return err
	}
	if err := s.take(ctx, part.Found...); err != nil {
		return err
	}
	if part.Pending > 0 && len(part.Found) > 0 {
		s.size = int(min(max(part.Pending/partsOfAll, leastPart), mostPart))
		s.sure = 0
		return nil
	}
	return s.end(ctx)
}

// end looks whether the scan is at its end, after a replica has given all it has. A replica that lags behind does not hold up the
// scan.
func (s *scan) end(ctx context.Context) error {
	if s.sure > 0 && s.next > s.sure {
		s.done = true
		return nil
	}
	newest, err := s.insistOn(ctx, s.op, s.filter, s.leader)
	switch {
	case errors.Is(err, jsapi.ErrNotFound), (err == nil || errors.Is(err, jsapi.ErrMalformed)) && newest.Sequence < s.next:
		s.done = true
		return nil
	case err != nil && !errors.Is(err, jsapi.ErrMalformed):
		return err
	}
	s.sure = newest.Sequence
	if len(s.part) == 0 {
		return s.fillByLeader(ctx)
	}
	return nil
}

// fillByLeader asks the leader for one message.
func (s *scan) fillByLeader(ctx context.Context) error {
	m, err := s.insistOn(ctx, s.op, s.filter, func(ctx context.Context, filter string) (jsapi.Message, error) {
		return s.client.LeaderNext(ctx, s.stream, filter, s.next)
	})
	switch {
	case errors.Is(err, jsapi.ErrNotFound):
		s.done = true
		return nil
	case err != nil && !errors.Is(err, jsapi.ErrMalformed):
		return err
	}
	s.sure = 0
	return s.take(ctx, m)
}

// take holds what was found until it is given, once it is on disk.
func (s *scan) take(ctx context.Context, found ...jsapi.Message) error {
	s.part = found
	if len(found) == 0 {
		return nil
	}
	s.next = lastOf(found) + 1
	return s.disk.Wait(ctx, lastOf(found))
}
