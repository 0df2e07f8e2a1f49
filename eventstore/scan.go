package eventstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/backoff"
	"github.com/runnel-go/runnel/internal/jsapi"
)

const (
	// fetchMessages bounds what the server sends ahead, and so the messages that a reader holds and has not yielded.
	fetchMessages = 2000
	// fetchBytes bounds the same by size, if no message is larger than that.
	fetchBytes = 8 << 20
	// fetchWait is how long the next message is waited for. If none comes, the leader is asked whether the log has
	// more.
	fetchWait = 5 * time.Second
	// boundedWait is the same, over a short link, for a reader that knows that the log goes on. Both bound the wait for
	// one message only: messages still on their way are lost if a reader gives up, and each must be fetched again.
	boundedWait = 100 * time.Millisecond
	// boundedFactor is how many times as long as the last reply the same reader waits at least.
	boundedFactor = 4
	// roomsAtOnce is how many commits memory is allocated for at once.
	roomsAtOnce = 32
	// refetchAtOnce is how many positions are fetched from the leader before a new consumer is tried.
	refetchAtOnce = 100
	// quietFilters is how many waits in a row may bring a filtered reader nothing before its scan ends, if the log goes
	// as far as the scan.
	quietFilters = 3
	// consumerInactive is after how long without a fetch the server may drop the consumer. Then the consumer is made
	// anew.
	consumerInactive = time.Minute
)

// rescans spaces the attempts of a reader that has lost its consumer. After an interruption of the connection, the
// first attempt follows at once.
var rescans = backoff.Policy{Base: 20 * time.Millisecond, Max: 500 * time.Millisecond}

// scanOptions say what a scan reads.
type scanOptions struct {
	watch   watch    // nil if nobody is to look at the log
	subject string   // one literal subject, or "" for all
	after   Position // where to begin
	upTo    Position // where to end, or 0 for never
	sure    Position // the log reaches this far, so a silent server is not waited for; 0 if not known
	// patience is how long an interruption is waited out; 0 for as long as it takes.
	patience time.Duration
	// damage is called with each position that is missing or damaged, and the scan goes on. If it is nil, the scan ends
	// there.
	damage func(Position, error)
}

// watch looks at the log, to find out whether it is still the one that Open found.
type watch interface {
	trusted(ctx context.Context) error // unless that was done on this connection
	suspect(ctx context.Context) error // in any case, because something speaks against the log
}

// scan yields commits as the server delivers them, in the order of their positions, each once. An unfiltered scan has
// no gaps: commits that the server skips are fetched from the leader. An erased commit is yielded as a placeholder, and
// so is a message of another program. If the leader does not have a position, the scan ends with ErrCorrupt. A scan
// survives the loss of its consumer. It waits out interruptions of the connection, for as long as its patience allows.
// It ends with the cause when ctx ends, or when the server refuses what it needs.
//
// It pulls from an ephemeral consumer without acknowledgements. If a server goes quiet though the log goes on, because
// its copy is damaged or its consumer hangs, the scan notices after fetchWait and reads around it.
func (f *fetcher) scan(ctx context.Context, o scanOptions) iter.Seq2[*Commit, error] {
	return func(yield func(*Commit, error) bool) {
		r := &scanner{fetcher: f, scanOptions: o, position: o.after, yield: yield}
		defer r.drop()
		if o.damage != nil { // Verify also reads a log that has lost its end
			r.run(ctx)
			return
		}
		bound, free := f.conn.verdict.bind(ctx)
		defer free()
		r.run(bound)
	}
}

type scanner struct {
	scanOptions
	fetcher  *fetcher
	position Position // of the last commit yielded
	served   bool     // there has been a consumer
	consumer string   // its name, or "" if there is none
	pull     *jsapi.Pull
	failing  time.Time // when the first failure since the last commit happened
	quiets   int       // consecutive waits that brought nothing
	rooms    []room    // for the next commits
	yield    func(*Commit, error) bool
}

// run yields commits until the scan is over.
func (r *scanner) run(ctx context.Context) {
	for failures := 0; ; {
		before := r.position
		more, err := r.fetch(ctx)
		if !more {
			return
		}
		if err == nil {
			failures = 0
			continue
		}
		if r.position > before {
			failures = 0
		}
		if failures++; failures == 1 {
			r.failing = time.Now()
		}
		if err := r.final(err); err != nil {
			r.yield(nil, err)
			return
		}
		r.drop()
		if err := r.fetcher.conn.reads.Pause(ctx, rescans, failures); err != nil {
			r.yield(nil, err)
			return
		}
	}
}

// final returns the error with which a scan ends after a failure, or nil if it tries again. A refusal is final, with
// one exception: a server may have as many consumers as it allows because it still keeps the consumers of a lost
// connection.
func (r *scanner) final(err error) error {
	c, what := r.fetcher.conn, fmt.Sprintf("read %s after position %d", r.fetcher.conn.store, r.position)
	failing := time.Since(r.failing)
	switch {
	case c.reads.Session().Closed():
		return fmt.Errorf("%w: connect again", because(what, err))
	case r.served && errors.Is(err, jetstream.ErrMaximumConsumersLimit) && failing < c.cfg.ReadTimeout:
		return nil
	case jsapi.IsRefusal(err):
		return fmt.Errorf("%w: allow it to this user, or raise the limit", because(what, err))
	case r.patience > 0 && failing > r.patience:
		return because(what, err)
	}
	return nil
}

// drop deletes the consumer.
func (r *scanner) drop() {
	if r.pull != nil {
		r.pull.Close()
	}
	if r.consumer != "" {
		r.fetcher.conn.reads.DropConsumer(r.fetcher.conn.store, r.consumer)
	}
	r.pull, r.consumer = nil, ""
}

// room returns memory for a commit. It is allocated for several commits at once, so a caller that keeps one commit of a
// read may keep its neighbours as well.
func (r *scanner) room() *room {
	if len(r.rooms) == 0 {
		r.rooms = make([]room, roomsAtOnce)
	}
	m := &r.rooms[0]
	r.rooms = r.rooms[1:]
	return m
}

// fetch yields the next commits. It reports false if the scan is over, and an error if it must be tried again.
func (r *scanner) fetch(ctx context.Context) (more bool, err error) {
	if ctx.Err() != nil {
		return r.fail(context.Cause(ctx))
	}
	if err := r.open(ctx); err != nil {
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			looked := r.suspect(ctx)
			switch {
			case isDamage(looked):
				return r.fail(looked)
			case looked != nil:
				return true, looked
			}
			return r.fail(fmt.Errorf("eventstore: read %s: %w", r.fetcher.conn.store, err))
		case isDamage(err):
			return r.fail(err)
		case ctx.Err() != nil:
			return r.fail(context.Cause(ctx))
		}
		return true, err
	}
	msg, err := r.pull.Next(ctx, r.wait())
	switch {
	case err != nil && ctx.Err() != nil:
		return r.fail(context.Cause(ctx))
	case err != nil:
		return true, err
	case msg == nil:
		r.quiets++
		return r.quiet(ctx)
	}
	r.quiets = 0
	return r.message(ctx, msg)
}

// wait is how long the next message is waited for. Over a long link, even the first one takes a round trip.
func (r *scanner) wait() time.Duration {
	if r.position >= r.sure {
		return fetchWait
	}
	return min(max(boundedWait, boundedFactor*r.fetcher.conn.reads.Latency()), fetchWait)
}

func (r *scanner) fail(err error) (bool, error) {
	r.yield(nil, err)
	return false, nil
}

func (r *scanner) suspect(ctx context.Context) error {
	if r.watch == nil {
		return nil
	}
	return r.watch.suspect(ctx)
}

func (r *scanner) open(ctx context.Context) error {
	if r.pull != nil {
		return nil
	}
	// Verify reads past damage. A filtered read cannot see gaps, so its caller checks for them.
	if r.damage == nil && r.subject == "" {
		look := r.watch.trusted
		if r.served {
			look = r.watch.suspect // the consumer is gone, perhaps with the stream
		}
		if err := look(ctx); err != nil {
			return err
		}
	}
	if err := r.fetcher.conn.checkReads(ctx); err != nil {
		return err
	}
	cfg := consumerFrom(uint64(r.position) + 1)
	cfg.FilterSubject, r.consumer = r.subject, cfg.Name
	consumer, err := r.fetcher.conn.reads.CreateConsumer(ctx, r.fetcher.conn.store, cfg)
	if err != nil {
		return err
	}
	r.served = true
	r.pull, err = r.fetcher.conn.reads.NewPull(r.fetcher.conn.store, consumer, aheadOf(r.fetcher.conn.reads))
	return err
}

// message yields the commit in a message, after the commits that the server skipped before it. Like fetch, it reports
// whether the scan goes on, and an error if it must be tried again.
func (r *scanner) message(ctx context.Context, msg *nats.Msg) (more bool, err error) {
	position, err := positionOf(msg.Reply)
	if err != nil {
		return r.fail(err)
	}
	if position <= r.position {
		return true, nil
	}
	if r.subject == "" && position > r.position+1 {
		if more, err := r.refetch(ctx, position-1); !more || err != nil {
			return more, err
		}
	}
	if !isForeign(msg.Header, msg.Data) {
		c, err := r.fetcher.decoder.commitIn(r.room(), msg.Subject, position, msg.Header, msg.Data)
		if err == nil {
			return r.commit(ctx, c)
		}
	}
	r.position = position - 1
	return r.refetch(ctx, position) // the leader may have it whole, and knows what it is
}

// commit yields one commit, once it is on disk, and reports whether the scan goes on.
func (r *scanner) commit(ctx context.Context, c *Commit) (more bool, _ error) {
	if err := r.fetcher.conn.onDisk(ctx, c.Position); err != nil {
		return r.fail(err)
	}
	r.position = c.Position
	return r.yield(c, nil) && (r.upTo == 0 || r.position < r.upTo), nil
}

// damaged ends the scan with what is wrong at a position, or reports it and goes on.
func (r *scanner) damaged(ctx context.Context, position Position, err error) (more bool, _ error) {
	if r.damage == nil {
		if looked := r.suspect(ctx); errors.Is(looked, errDrifted) {
			err = looked
		}
		return r.fail(err)
	}
	r.damage(position, err)
	r.position = position
	return r.upTo == 0 || position < r.upTo, nil
}

// refetch yields the commits up to a position from the leader, because the server passed over them.
func (r *scanner) refetch(ctx context.Context, upTo Position) (more bool, err error) {
	for r.position < upTo {
		missing := r.position + 1
		c, err := r.fetcher.place(ctx, missing)
		switch {
		case err == nil && c == nil && r.damage == nil:
			err = errLags // the server that feeds the reader had a message there or behind it
		case err == nil && c == nil:
			err = r.fetcher.missing(missing)
		}
		switch {
		case errors.Is(err, ErrCorrupt):
			more, err := r.damaged(ctx, missing, err)
			if !more || err != nil {
				return more, err
			}
			continue
		case err != nil && jsapi.Transient(err):
			return true, err
		case err != nil && ctx.Err() != nil:
			return r.fail(context.Cause(ctx))
		case err != nil:
			return r.fail(because(fmt.Sprintf("read %s at position %d", r.fetcher.conn.store, missing), err))
		}
		switch {
		case c.foreign != nil:
			r.fetcher.passForeign(ctx, c.foreign)
		case !c.erased:
			r.fetcher.counters.refetched.Add(1)
		}
		if more, err := r.commit(ctx, c); !more || err != nil {
			return more, err
		}
	}
	return true, nil
}

// quiet decides what it means that a wait brought nothing.
func (r *scanner) quiet(ctx context.Context) (more bool, err error) {
	end, err := r.fetcher.conn.end(ctx)
	if err != nil {
		return true, err
	}
	if end < r.position {
		// The log went backwards, or its new leader has not caught up yet.
		err := r.suspect(ctx)
		if isDamage(err) {
			return r.fail(err)
		}
		return true, err
	}
	if r.subject != "" {
		// A filtered reader may have missed commits that others get, so its consumer is made anew, perhaps on another
		// replica. In the end, the caller of a filtered read checks the versions.
		r.drop()
		return r.upTo == 0 || end < r.upTo || r.quiets < quietFilters, nil
	}
	if r.upTo != 0 {
		end = min(end, r.upTo)
	}
	if end == r.position {
		return true, nil
	}
	r.drop()
	return r.refetch(ctx, min(end, r.position+refetchAtOnce))
}

// positionOf reads the stream sequence from the subject for acknowledgements. Messages of a consumer without
// acknowledgements have it as well. It is the sixth token, or the eighth if domain and account stand in front. The last
// token may be missing:
//
//	$JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.<consumer sequence>.<time>.<pending>
//	$JS.ACK.<domain>.<account>.<stream>.<consumer>.<deliveries>.<stream seq.>.<consumer seq.>.<time>.<pending>.<any>
func positionOf(reply string) (Position, error) {
	before := 5
	if strings.Count(reply, ".") > 8 {
		before = 7
	}
	rest := reply
	for range before {
		_, rest, _ = strings.Cut(rest, ".")
	}
	sequence, _, _ := strings.Cut(rest, ".")
	n, err := strconv.ParseUint(sequence, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("eventstore: message without a sequence: reply subject %q: %w", reply, err)
	}
	return Position(n), nil
}
