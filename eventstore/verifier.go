package eventstore

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/system"
)

// The kinds of a [Fault].
const (
	faultMissing    = "missing"
	faultUnreadable = "unreadable"
	faultVersion    = "version"
	faultGuard      = "guard"
	faultLink       = "link"
	faultDuplicate  = "duplicate"
	faultCount      = "count"
)

// recentIDs is how many commit ids are remembered, to find one that is used again. A commit could be stored twice by a
// publish that is sent again, which happens within moments.
const recentIDs = 10_000

// verifier is one verification under way.
type verifier struct {
	conn    *conn
	fetcher *fetcher
	log     *log
	max     int
	report  Report
	seed    maphash.Seed
	streams map[StreamID]verified
	held    []*Commit // of a transaction whose end is not there yet
	damaged Position  // the last damaged position; 0 for none
	ids     map[uuid.UUID]struct{}
	order   []uuid.UUID // of ids, oldest first, used as a ring
	at      int         // where the next goes

	// gaps are, for each stream that has one, the first missing version, or the first guard of it that does not hold.
	// An erased stream has no gap, and the record of its erasure comes last.
	gaps map[StreamID]Fault
}

// verified is what is known of a stream.
type verified struct {
	next     Version
	messages uint64   // on its subject, remainders of torn transactions included
	last     Position // of its last commit
	links    uint64   // hash of the links that the next commit must have
}

// walk verifies the positions beyond after, up to end.
func (v *verifier) walk(ctx context.Context, after, end Position, progress *tracker) error {
	if end <= after {
		return nil
	}
	o := scanOptions{after: after, upTo: end, sure: end, damage: v.damage}
	for c, err := range v.log.scan(ctx, o) {
		if err != nil {
			return err
		}
		if err := v.add(ctx, c); err != nil {
			return err
		}
		progress.commit(c)
	}
	return v.endTransaction(ctx)
}

// damage takes note of a position that is missing or does not hold.
func (v *verifier) damage(position Position, err error) {
	v.damaged = position
	fault := Fault{Kind: faultMissing, Position: position, Last: position, Err: err}
	if corrupt, ok := errors.AsType[*ReadError](err); ok {
		fault.Stream, fault.Err = corrupt.Stream, corrupt.Err
		if !errors.Is(err, errMissing) {
			fault.Kind = faultUnreadable
		}
	}
	if fault.Stream != (StreamID{}) {
		state := v.streams[fault.Stream]
		state.messages++
		v.streams[fault.Stream] = state
	}
	v.report.Found++
	if n := len(v.report.Faults); n > 0 && fault.Kind == faultMissing {
		if before := &v.report.Faults[n-1]; before.Kind == faultMissing && before.Last+1 == position {
			before.Last = position
			return
		}
	}
	v.list(fault)
}

func (v *verifier) fault(f Fault) {
	v.report.Found++
	v.list(f)
}

func (v *verifier) list(f Fault) {
	if len(v.report.Faults) < v.max {
		v.report.Faults = append(v.report.Faults, f)
	}
}

// add takes the next commit, and holds it back while its transaction is not whole.
func (v *verifier) add(ctx context.Context, c *Commit) error {
	if len(v.held) > 0 && !follows(v.held[len(v.held)-1], c) {
		if err := v.endTransaction(ctx); err != nil {
			return err
		}
	}
	if c.Transaction == nil {
		return v.commit(ctx, c)
	}
	v.held = append(v.held, c)
	if !c.Whole() {
		return nil
	}
	return v.endTransaction(ctx)
}

// endTransaction verifies the commits of the transaction that was held. If its start or its end is missing, there are
// two reasons. A power cut tore it, and its commits are not part of the log. Or damage hides the rest, which is a fault
// of its own.
func (v *verifier) endTransaction(ctx context.Context) error {
	if len(v.held) == 0 {
		return nil
	}
	held := v.held
	v.held = nil
	first, last := held[0], held[len(held)-1]
	whole := first.Transaction.Index == 0 && last.Whole()
	if whole {
		v.report.Transactions++
	} else if v.damaged == 0 || v.damaged+1 != first.Position {
		var err error
		if whole, err = v.fetcher.wholeForSure(ctx, last); errors.Is(err, ErrCorrupt) {
			whole, err = true, nil
		}
		if err != nil {
			return err
		}
		whole = whole && first.Transaction.Index == 0
	}
	for _, c := range held {
		if !whole && (v.damaged == 0 || v.damaged+1 != first.Position) {
			v.tornCommit(c)
			continue
		}
		if err := v.commit(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// tornCommit counts a commit that is not part of the log.
func (v *verifier) tornCommit(c *Commit) {
	if c.erased {
		v.report.Erased++
		return
	}
	v.report.Torn++
	state := v.streams[c.Stream]
	state.messages++
	v.streams[c.Stream] = state
}

// commit verifies one commit of the log.
func (v *verifier) commit(ctx context.Context, c *Commit) error {
	switch {
	case c.erased:
		v.report.Erased++
		return nil
	case c.isForeign():
		v.foreign(c)
		return nil
	}
	v.report.Commits++
	v.report.Events += int64(c.Len())
	v.id(c)
	if c.isGuard() {
		v.guard(c)
		return nil
	}
	state := v.streams[c.Stream]
	if c.First != max(state.next, 1) {
		if _, known := v.gaps[c.Stream]; !known {
			v.gaps[c.Stream] = Fault{Kind: faultVersion, Stream: c.Stream, Position: c.Position, Last: c.Position,
				Err: fmt.Errorf("version %d stands where version %d should", c.First, max(state.next, 1))}
		}
	}
	if c.Head().end == streamErased {
		delete(v.gaps, c.Stream)
	}
	if len(c.links) > 0 && v.hash(c.links) != state.links {
		if err := v.links(ctx, c); err != nil {
			return err
		}
	}
	v.streams[c.Stream] = verified{
		next: c.Last() + 1, messages: state.messages + 1, last: c.Position, links: v.hash(c.Head().links),
	}
	return nil
}

// guard verifies that the stream which a transaction guarded stands at the version in the guard.
func (v *verifier) guard(c *Commit) {
	state := v.streams[c.Stream]
	state.messages, state.last = state.messages+1, c.Position
	v.streams[c.Stream] = state
	for recorded := range c.Events() {
		decoded, err := recorded.Decode()
		if err != nil {
			v.fault(Fault{Kind: faultUnreadable, Stream: c.Stream, Position: c.Position, Last: c.Position, Err: err})
			return
		}
		guarded, ok := decoded[0].(system.StreamGuarded)
		if !ok {
			continue
		}
		stream, version := StreamID(guarded.Stream), Version(guarded.Version)
		is := max(v.streams[stream].next, 1) - 1
		if _, known := v.gaps[stream]; is != version && !known {
			v.gaps[stream] = Fault{Kind: faultGuard, Stream: stream, Position: c.Position, Last: c.Position,
				Err: fmt.Errorf("the transaction here was decided on version %d of the stream, which is at version %d", version, is)}
		}
	}
}

// foreign counts a message of another program. The server counts it among the messages of its subject.
func (v *verifier) foreign(c *Commit) {
	v.report.Foreign++
	if c.Stream != (StreamID{}) {
		state := v.streams[c.Stream]
		state.messages++
		v.streams[c.Stream] = state
	}
}

func (v *verifier) hash(links []Position) uint64 {
	var h maphash.Hash
	h.SetSeed(v.seed)
	for _, link := range links {
		maphash.WriteComparable(&h, link)
	}
	return h.Sum64()
}

// links follows the links of a commit if they are not those that follow from the stream's commits before it.
func (v *verifier) links(ctx context.Context, c *Commit) error {
	for _, link := range c.links {
		before, err := patiently(ctx, v.conn, "verify "+v.conn.store, func() (*Commit, error) {
			before, err := v.fetcher.place(ctx, link)
			if err == nil && before == nil && link < c.Position {
				err = errLags
			}
			return before, err
		})
		switch {
		case errors.Is(err, ErrCorrupt):
			continue // which is a fault of that position
		case err != nil:
			return err
		case before != nil && before.erased:
			continue
		case before == nil || before.foreign != nil || before.Stream != c.Stream || link >= c.Position:
			v.fault(Fault{Kind: faultLink, Stream: c.Stream, Position: c.Position, Last: c.Position,
				Err: fmt.Errorf("it links position %d, which is no earlier commit of the stream", link)})
		}
	}
	return nil
}

// id looks for the commit's id among the last ones.
func (v *verifier) id(c *Commit) {
	if _, used := v.ids[c.ID]; used {
		v.fault(Fault{Kind: faultDuplicate, Stream: c.Stream, Position: c.Position, Last: c.Position,
			Err: fmt.Errorf("commit id %s was used shortly before", c.ID)})
		return
	}
	v.ids[c.ID] = struct{}{}
	if len(v.order) < recentIDs {
		v.order = append(v.order, c.ID)
		return
	}
	delete(v.ids, v.order[v.at])
	v.order[v.at] = c.ID
	v.at = (v.at + 1) % recentIDs
}

// compareCounts compares how many messages of each stream were found with how many the leader counts. Appends meanwhile
// raise the leader's count. So the log is read on to its end after that, and the count must lie in between.
func (v *verifier) compareCounts(ctx context.Context, end Position) error {
	counts, err := v.counts(ctx)
	if err != nil {
		return err
	}
	now, err := v.log.end(ctx)
	if err != nil {
		return err
	}
	later, err := v.later(ctx, end, now)
	if err != nil {
		return err
	}
	for stream, counted := range counts {
		found := v.streams[stream].messages
		if counted < found || counted > found+later[stream] {
			v.miscounted(stream, counted, found)
		}
	}
	for stream, state := range v.streams {
		if _, counted := counts[stream]; !counted && state.messages > 0 {
			v.miscounted(stream, 0, state.messages)
		}
	}
	return nil
}

func (v *verifier) miscounted(stream StreamID, counted, found uint64) {
	last := v.streams[stream].last
	v.fault(Fault{Kind: faultCount, Stream: stream, Position: last, Last: last,
		Err: fmt.Errorf("the server counts %d messages of the stream, %d were found, the last one here", counted, found)})
}

// later counts the messages of each stream after a position.
func (v *verifier) later(ctx context.Context, after, end Position) (map[StreamID]uint64, error) {
	later := make(map[StreamID]uint64)
	if end <= after {
		return later, nil
	}
	ignore := func(Position, error) {}
	for c, err := range v.log.scan(ctx, scanOptions{after: after, upTo: end, sure: end, damage: ignore}) {
		if err != nil {
			return nil, err
		}
		later[c.Stream]++
	}
	return later, nil
}

// counts asks the leader for the number of messages of each stream.
func (v *verifier) counts(ctx context.Context) (map[StreamID]uint64, error) {
	c := v.conn
	counts := make(map[StreamID]uint64, len(v.streams))
	for offset := 0; ; {
		page, err := patiently(ctx, c, "verify "+c.store, func() (jsapi.Info, error) {
			return c.api.LeaderInfo(ctx, c.store, c.store+".*.*", offset)
		})
		if err != nil {
			return nil, err
		}
		for subject, n := range page.Subjects {
			stream, err := parseSubject(c.store, subject)
			if err != nil {
				continue // a message on it is a fault of its position
			}
			counts[stream] = n
		}
		offset += page.Limit
		if page.Limit == 0 || offset >= page.Total {
			return counts, nil
		}
	}
}
