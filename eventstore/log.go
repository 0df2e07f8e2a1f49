package eventstore

import (
	"context"
	"iter"
	"slices"
	"sync/atomic"
)

// log reads the log, its streams and its commits, as users do: it looks at the log before, and waits interruptions out.
type log struct {
	conn    *conn
	seen    *seen
	fetcher *fetcher
	trust   *trust
	tail    tail
	passed  atomic.Pointer[passed] // what End has stepped over last, or nil
}

// All yields the events of the whole store in the order of their positions, up to the log's end at the time of the
// call, or with [Live] until ctx ends. A transaction is yielded whole, or not at all if a power cut tore it. On failure
// All yields one error and ends: an error that matches ErrCorrupt, ErrLogRewound, ErrSettings, ErrPositionAhead,
// ErrNoPermission or ErrRefused, or the cause of ctx. Interruptions of the connection are waited out.
func (s *Store) All(ctx context.Context, options ...AllOption) iter.Seq2[Recorded, error] {
	o := readOptionsOf(options)
	p := s.decoder.registry.pickerOf(o)
	return func(yield func(Recorded, error) bool) {
		for c, err := range s.log.commits(ctx, o) {
			if err != nil {
				yield(Recorded{}, err)
				return
			}
			for event := range p.pick(c) {
				if !yield(event, nil) {
					return
				}
			}
		}
	}
}

// storedAs returns the names under which events of the types may stand in the log.
func (r *registry) storedAs(types []string) []string {
	stored := slices.Clone(types)
	for _, name := range types {
		stored = append(stored, r.sources[name]...)
	}
	return stored
}

// picker knows which events a reader asked for.
type picker struct {
	categories []string // none for all
	types      []string // none for all
	from       Version
}

func (r *registry) pickerOf(o readOptions) picker {
	p := picker{categories: o.categories, types: r.storedAs(o.types)}
	if o.stream != nil {
		p.from = o.from
	}
	return p
}

// pick yields the events of a commit that were asked for.
func (p picker) pick(c *Commit) iter.Seq[Recorded] {
	return func(yield func(Recorded) bool) {
		if len(p.categories) > 0 && !slices.Contains(p.categories, c.Stream.Category) {
			return
		}
		for event := range c.Events() {
			if p.picks(event) && !yield(event) {
				return
			}
		}
	}
}

func (p picker) picks(event Recorded) bool {
	return event.Version() >= p.from && (len(p.types) == 0 || slices.Contains(p.types, event.Type()))
}

// Log yields commits as [Store.All] yields events, but of all categories and types. It is for readers that keep a
// checkpoint: a checkpoint may stand after a commit that is [Commit.Whole]. Log yields neither erased commits nor the
// guards of transactions. It fails like [Store.All].
func (s *Store) Log(ctx context.Context, options ...LogOption) iter.Seq2[*Commit, error] {
	return s.log.commits(ctx, readOptionsOf(options))
}

// commits yields the commits of the part of the log that the options name.
func (l *log) commits(ctx context.Context, o readOptions) iter.Seq2[*Commit, error] {
	return func(yield func(*Commit, error) bool) {
		p, err := l.spanOf(ctx, o)
		if err != nil {
			yield(nil, err)
			return
		}
		l.within(ctx, p)(yield)
	}
}

// scan reads the log and looks at it while it does.
func (l *log) scan(ctx context.Context, o scanOptions) iter.Seq2[*Commit, error] {
	o.watch = l.trust
	return l.fetcher.scan(ctx, o)
}

// behind yields all commits from the start of a part of the log on.
func (l *log) behind(ctx context.Context, p span) iter.Seq2[*Commit, error] {
	if p.live {
		return l.tail.follow(ctx, p.after)
	}
	return l.scan(ctx, scanOptions{after: p.after, sure: p.sure})
}

// within yields the commits of a part of the log.
func (l *log) within(ctx context.Context, p span) iter.Seq2[*Commit, error] {
	return func(yield func(*Commit, error) bool) {
		if p.empty {
			return
		}
		g := grouper{fetcher: l.fetcher, yield: yield, after: p.after, end: p.upTo}
		for c, err := range l.behind(ctx, p) {
			if err != nil {
				yield(nil, err)
				return
			}
			waiting := p.pending
			begins, err := p.begins(ctx, l, c)
			if err != nil {
				yield(nil, err)
				return
			}
			if waiting && begins {
				g.after = c.Position - 1 // perhaps inside a transaction
			}
			if begins && !g.add(ctx, c) || !begins && p.upTo != 0 && c.Position >= p.upTo {
				return
			}
		}
	}
}

// grouper holds back the commits of a transaction until all are there.
type grouper struct {
	fetcher *fetcher
	yield   func(*Commit, error) bool
	after   Position // where the read begins, perhaps inside a transaction, whose rest is wanted then
	end     Position // where to stop, or 0
	held    []*Commit
}

// add takes the next commit of the log and reports whether to go on.
func (g *grouper) add(ctx context.Context, c *Commit) bool {
	if len(g.held) > 0 && !follows(g.held[len(g.held)-1], c) {
		g.dropHeld(ctx)
	}
	switch {
	case c.Transaction == nil:
		if !c.absent() && !g.yield(c, nil) {
			return false
		}
	case c.Transaction.Index > 0 && len(g.held) == 0 && c.Position-Position(c.Transaction.Index) > g.after:
		g.fetcher.skipTorn(ctx, c) // the start of its transaction does not stand before it
	default:
		g.held = append(g.held, c)
		if c.Whole() && !g.release() {
			return false
		}
	}
	if g.end == 0 || c.Position < g.end {
		return true
	}
	if len(g.held) == 0 {
		return false
	}
	// The log ended inside a transaction when we asked. Either more of it came since, or it is torn.
	whole, err := g.fetcher.wholeForSure(ctx, c)
	switch {
	case err != nil:
		g.yield(nil, err)
		return false
	case !whole:
		g.dropHeld(ctx)
		return false
	}
	return true
}

func follows(a, b *Commit) bool {
	return b.Transaction != nil && b.Transaction.ID == a.Transaction.ID && b.Transaction.Index == a.Transaction.Index+1
}

func (g *grouper) release() bool {
	held := g.held
	g.held = g.held[:0]
	for _, c := range held {
		if !c.erased && !c.isGuard() && !g.yield(c, nil) {
			return false
		}
	}
	return true
}

func (g *grouper) dropHeld(ctx context.Context) {
	for _, c := range g.held {
		if !c.erased {
			g.fetcher.skipTorn(ctx, c)
		}
	}
	g.held = g.held[:0]
}
