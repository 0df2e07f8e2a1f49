package kv

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/runnel-go/runnel/internal/jsapi"
)

const (
	// listBytes bounds what one replica sends at once: its answer is held until all of it was given.
	listBytes = 8 << 20
	// partMessages bounds how many messages one replica is asked for at once. Writes to that replica wait while it reads.
	partMessages = 1000
	// manyParts is how many messages there are at least in a list for which a consumer takes less time: for each part the replica
	// counts what is left.
	manyParts = 20_000
	// snapshots is how often a replica that is behind is asked for all there is.
	snapshots = 3
)

// list gives the newest message of each subject that matches one of the filters, by their sequences, and then ends, or with one
// error.
//
//	up to 1024 messages  one answer of a replica that has all that the leader had when the list began
//	more, or larger      parts, each from any replica; the leader says when there is no more
//	20,000 and more      a consumer, as of a watch, until it is synced
func (c *core) list(ctx context.Context, op string, filters []string) iter.Seq2[jsapi.Message, error] {
	return func(yield func(jsapi.Message, error) bool) {
		l := lister{core: c, op: op, filters: filters}
		err := l.run(ctx, func(m jsapi.Message) bool { return yield(m, nil) })
		if err != nil {
			yield(jsapi.Message{}, err)
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
		scans[i] = scan{lister: l, filter: filter, next: 1}
	}
	for given := false; ; given = true {
		first, err := lowest(ctx, scans)
		if err != nil || first == nil {
			return err
		}
		if !given && pending(scans) >= manyParts {
			return l.follow(ctx, give)
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

// pending is how many messages the scans have still to read.
func pending(scans []scan) (n uint64) {
	for i := range scans {
		n += scans[i].pending
	}
	return n
}

// follow gives what a consumer brings until there is no more.
func (l *lister) follow(ctx context.Context, give func(jsapi.Message) bool) error {
	for event, err := range l.feed(ctx, l.op, l.filters) {
		if err != nil || event.synced || !give(event.message) {
			return err
		}
	}
	return nil
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
	filter  string
	next    uint64          // the sequence at which the next part begins
	part    []jsapi.Message // what was not given yet of the last one
	pending uint64          // how many messages are behind it
	sure    uint64          // the newest that the leader had after all the parts before the next one, 0 if it was not asked
	done    bool
}

// fill asks any replica for the next part.
func (s *scan) fill(ctx context.Context) error {
	filter := s.filter
	if filter == s.prefix+">" {
		filter = "" // there is hardly anything else
	}
	part, err := s.ask(ctx, func(ctx context.Context) (jsapi.Part, error) {
		return s.client.DirectNextMany(ctx, s.stream, filter, s.next, partMessages, listBytes)
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
	if s.pending = part.Pending; s.pending > 0 && len(part.Found) > 0 {
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
	if len(found) == 0 {
		return nil
	}
	last := lastOf(found)
	s.next = last + 1
	s.part = slices.DeleteFunc(found, func(m jsapi.Message) bool { return !strings.HasPrefix(m.Subject, s.prefix) })
	return s.disk.Wait(ctx, last)
}
