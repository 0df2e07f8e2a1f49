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
	// listBytes bounds how many bytes one replica sends at once. They are held in memory until the reader has seen
	// them.
	listBytes = 8 << 20
	// partMessages bounds how many messages one replica is asked for at once, because its writes wait while it reads.
	partMessages = 1000
	// manyParts is how long a list is at least if a consumer is faster: for each part the replica counts what is left.
	manyParts = 20_000
	// atOnceTries is how often a replica that is behind is asked for the whole list.
	atOnceTries = 3
)

// List returns the documents that match one of the patterns, or all documents if there is no pattern, least recently
// written first. It ends after the last one, or with one error. It asks the servers while the range statement runs, and
// blocks until they answer.
//
// A pattern is a key in which a level may be *, which matches any one level. The last level may be >, which matches
// one or more levels. List refuses with ErrInvalidKey an empty pattern, one that is longer than any key, and two
// patterns of which one matches everything that the other matches. It skips a key that another client wrote and this
// package would escape, such as "a/b", and tells Config.Logger.
//
// A List returns every document that exists from its first request to its last, and everything that was acknowledged
// before it began. If it has up to 1024 documents, deleted ones included, of less than 8 MiB together, it returns
// them as they were at one point in time, and sees a batch whole or not at all. A longer List may return a document
// twice if that is written meanwhile, and may see a part of a batch. Use GetMany if that matters.
//
// Any replica answers, and the leader is asked whether there is more. A List of 20,000 documents or more reads
// through a consumer, as a Watch does. Shorter ones keep nothing on the servers. Each request is repeated until
// Config.Timeout has passed. The error matches ErrUnavailable then, or ErrInvalidKey, ErrDecode, ErrNoBucket or
// ErrRefused.
func (b *Bucket[T]) List(ctx context.Context, patterns ...string) iter.Seq2[Entry[T], error] {
	return func(yield func(Entry[T], error) bool) {
		subjects, err := b.core.subjects("list", patterns)
		if err != nil {
			yield(Entry[T]{}, err)
			return
		}
		r := reader[T]{core: b.core, op: "list"}
		r.list(ctx, subjects, yield)
	}
}

// list returns the newest message of each subject that matches one of the filters, in the order of their sequences. It
// ends after the last one, or with one error.
//
//	up to 1024 messages  one answer of a replica that has all that the leader had when the list began
//	more, or larger      parts, each from any replica; the leader says when there is no more
//	20,000 and more      a consumer, as of a watch, until it is synced
//	a history            a consumer as well if there is more than one answer, because the parts would hold old values
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
	begun   jsapi.Info // the bucket when the list began
}

func (l *lister) run(ctx context.Context, show func(jsapi.Message) bool) error {
	found, whole, err := l.atOnce(ctx)
	switch {
	case err != nil:
		return err
	case !whole:
		return l.parts(ctx, show)
	}
	if err := l.disk.Wait(ctx, lastOf(found)); err != nil {
		return err
	}
	for _, m := range found {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !show(m) {
			return nil
		}
	}
	return nil
}

// parts reads in parts, or through a consumer if another client made the bucket with a history of each document.
func (l *lister) parts(ctx context.Context, show func(jsapi.Message) bool) error {
	settings, err := l.begun.Settings()
	switch {
	case err != nil:
		return err
	case settings.MaxMsgsPerSubject != 1:
		return l.follow(ctx, show)
	}
	return l.merge(ctx, show)
}

// atOnce asks one replica for everything. The result is not whole if there is too much for one answer, or if the
// replicas are behind.
func (l *lister) atOnce(ctx context.Context) (found []jsapi.Message, whole bool, err error) {
	err = l.retry(ctx, l.op, func(ctx context.Context) (err error) {
		l.begun, err = l.client.LeaderInfo(ctx, l.stream, "", 0)
		return err
	})
	if err != nil || l.begun.Last == 0 {
		return nil, err == nil, err
	}
	for try := 1; try <= atOnceTries; try++ {
		part, err := l.ask(ctx, func(ctx context.Context) (jsapi.Part, error) {
			return l.client.DirectLastMany(ctx, l.stream, l.filters, listBytes)
		})
		switch {
		case errors.Is(err, jsapi.ErrTooMany), errors.Is(err, jsapi.ErrUnreadable), errors.Is(err, jsapi.ErrMalformed),
			errors.Is(err, nats.ErrMaxPayload), part.Pending > 0, err == nil && len(part.Found) == 0:
			return nil, false, nil
		case err != nil:
			return nil, false, err
		case part.UpTo >= l.begun.Last:
			return part.Found, true, nil
		}
		if err := l.client.Pause(ctx, retryWait, try); err != nil {
			return nil, false, err
		}
	}
	return nil, false, nil
}

// ask asks for one part, again and again while the failure passes.
func (l *lister) ask(ctx context.Context, get func(context.Context) (jsapi.Part, error)) (part jsapi.Part, err error) {
	err = l.retry(ctx, l.op, func(ctx context.Context) error {
		part, err = get(ctx)
		if errors.Is(err, nats.ErrNoResponders) {
			return errors.Join(err, l.same(ctx)) // perhaps the bucket was deleted
		}
		return err
	})
	return part, err
}

// merge reads each filter with a scan of its own. It calls show once for a message that several scans find.
func (l *lister) merge(ctx context.Context, show func(jsapi.Message) bool) error {
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
			return l.follow(ctx, show)
		}
		for i := range scans {
			if part := scans[i].part; len(part) > 0 && part[0].Sequence == first.Sequence {
				scans[i].part = part[1:]
			}
		}
		if !show(*first) {
			return nil
		}
	}
}

// pending returns how many messages the scans have yet to read.
func pending(scans []scan) (n uint64) {
	for i := range scans {
		n += scans[i].pending
	}
	return n
}

// follow reads through a consumer until there is no more.
func (l *lister) follow(ctx context.Context, show func(jsapi.Message) bool) error {
	for event, err := range l.feed(ctx, l.op, l.filters) {
		if err != nil || event.synced || !show(event.message) {
			return err
		}
	}
	return nil
}

// lowest returns the message with the lowest sequence, or nil if all scans are at their end.
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
// A write moves a document to the end of the bucket, at one replica earlier than at another. If the other one is
// asked for the next part, it still has the document at its old place, which the scan has passed, and the scan would
// miss it. So the scan is at its end in two cases only. Either the leader has nothing after it. Or one replica has
// returned all it has, and that is not older than what the leader had after all parts before.
type scan struct {
	*lister
	filter  string
	next    uint64          // the sequence at which the next part begins
	part    []jsapi.Message // what the reader has not seen yet of the last one
	pending uint64          // how many messages come after it
	sure    uint64          // the newest sequence that the leader had after all parts so far, 0 if it was not asked
	done    bool
}

// fill asks any replica for the next part.
func (s *scan) fill(ctx context.Context) error {
	filter := s.filter
	if filter == s.prefix+">" {
		filter = "" // the stream has hardly anything else
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

// end finds out whether the scan is at its end, after a replica has returned all it has. If that replica is behind, the
// leader's message is read, so that the scan goes on.
func (s *scan) end(ctx context.Context) error {
	if s.sure > 0 && s.next > s.sure {
		s.done = true
		return nil
	}
	newest, err := s.retryMessage(ctx, s.op, s.filter, s.leader)
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

// fillByLeader asks the leader for the next message.
func (s *scan) fillByLeader(ctx context.Context) error {
	m, err := s.retryMessage(ctx, s.op, s.filter, func(ctx context.Context, filter string) (jsapi.Message, error) {
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

// take waits until the messages are on disk, and keeps them for the reader.
func (s *scan) take(ctx context.Context, found ...jsapi.Message) error {
	if len(found) == 0 {
		return nil
	}
	last := lastOf(found)
	s.next = last + 1
	s.part = slices.DeleteFunc(found, func(m jsapi.Message) bool { return !strings.HasPrefix(m.Subject, s.prefix) })
	return s.disk.Wait(ctx, last)
}
