package eventstore

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/runnel-go/runnel/internal/abreast"
	"github.com/runnel-go/runnel/internal/jsapi"
)

// attempt is one append: its commits, ready to be sent any number of times. The lists are in the order of its writes.
type attempt struct {
	writer   *writer
	commits  []*Commit // the commit of a guard says which stream it guards, and at which version
	expected []Head
	writes   []jsapi.Write
	seen     *Commit // the highest before the first try, after which an acknowledgement must be, or nil

	named int // the first write that is not a guard: it names the append in errors

	tries int // how often the writes were sent

	// doubt is set while a try may be stored, now or later, and we do not know. Until an acknowledgement or the
	// leader's tail settles that, no error says that nothing was stored.
	doubt bool
	// torn is set once the log had a part of our transaction only. A server that restarts may store the rest, as long
	// as nothing stands after that part.
	torn bool

	rooms []appended // of the commits

	// one is room for the parts of an append to one stream, as most are.
	one struct {
		commits  [1]*Commit
		expected [1]Head
		writes   [1]jsapi.Write
		rooms    [1]appended
	}
}

// appended is memory for a commit that is to be stored. It has room for one event, because most commits have one.
type appended struct {
	commit Commit
	event  [1]event
}

// newAttempt returns an attempt with room for n writes.
func newAttempt(wr *writer, n int) *attempt {
	a := &attempt{writer: wr}
	a.commits, a.expected, a.writes, a.rooms = a.one.commits[:], a.one.expected[:], a.one.writes[:], a.one.rooms[:]
	if n > 1 {
		a.commits, a.expected, a.writes, a.rooms = make([]*Commit, n), make([]Head, n), make([]jsapi.Write, n), make([]appended, n)
	}
	for i := range a.commits {
		a.commits[i] = &a.rooms[i].commit
	}
	return a
}

// completeAll takes over the heads of all writes. It looks up, side by side, the heads that this store did not return.
func (a *attempt) completeAll(ctx context.Context, writes []Write) error {
	if len(writes) == 1 {
		var err error
		a.expected[0], err = a.writer.complete(ctx, &writes[0])
		return err
	}
	all := slices.Clone(writes) // so that the one write of other appends stays on its caller's stack
	first, err := abreast.Do(len(all), func(i int) (err error) {
		a.expected[i], err = a.writer.complete(ctx, &all[i])
		return err
	})
	if errors.Is(err, ErrConflict) {
		err = a.firstConflict(ctx, first, err)
	}
	return err
}

// firstConflict prefers a conflict on one of the first n streams, because such a stream may have moved after it was
// looked at.
func (a *attempt) firstConflict(ctx context.Context, n int, conflict error) error {
	_, err := abreast.Do(n, func(i int) error {
		c := a.commits[i]
		head, err := a.writer.log.head(ctx, c.Stream)
		switch {
		case errors.Is(err, ErrErased):
			return conflict
		case err == nil && head.Position != a.expected[i].Position:
			return &ConflictError{Stream: c.Stream, Expected: a.expected[i].Version, Actual: head.Version}
		}
		return err
	})
	return cmp.Or(err, conflict)
}

// checkStreams refuses a transaction that has a stream twice, or nothing but guards.
func (a *attempt) checkStreams() error {
	first := slices.IndexFunc(a.writes, func(w jsapi.Write) bool { return w.Guards == "" })
	if first < 0 {
		return a.refused(ErrRefused, "a guard holds what is written beside it: give a write with events, or ask Store.Head", nil)
	}
	if a.named = first; len(a.writes) == 1 {
		return nil
	}
	seen := make(map[StreamID]bool, len(a.writes))
	for i, c := range a.commits {
		if seen[c.Stream] {
			return &AppendError{Stream: c.Stream, Version: a.expected[i].Version + 1, Reason: ErrRefused,
				Advice: "a transaction has each stream once: put all its events into one write, which needs no guard beside it"}
		}
		seen[c.Stream] = true
	}
	return nil
}
