package eventstore

import (
	"context"
	"crypto/rand"
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
	// fetchMessages bounds what the server sends ahead, and with it what a reader holds that has not been yielded.
	fetchMessages = 2000
	// fetchBytes bounds the same by size, where the server's messages are not larger than that.
	fetchBytes = 8 << 20
	// fetchWait is how long the next message is waited for. When none came, the leader is asked whether that is right.
	fetchWait = 5 * time.Second
	// boundedWait is the same where the reader knows that the log goes on. Neither bounds more than one message: what is still
	// on its way when a reader gives up is lost, and each message of it has to be fetched again.
	boundedWait = 100 * time.Millisecond
	// roomsAtOnce is how many commits memory is allocated for at once.
	roomsAtOnce = 32
	// refetchAtOnce is how many positions are fetched from the leader before a new consumer is tried.
	refetchAtOnce = 100
	// quietFilters is how many waits of a filtered reader may bring nothing though the log has reached its end.
	quietFilters = 3
	// consumerInactive is after how long without a fetch the server may drop the consumer; it is then made anew.
	consumerInactive = time.Minute
)

// rescans spaces the attempts of a reader whose consumer is gone. After an interruption of the connection the first one comes at once.
var rescans = backoff.Policy{Base: 20 * time.Millisecond, Max: 500 * time.Millisecond}

// scanOptions say what a scan reads.
type scanOptions struct {
	subject string   // one literal subject, or "" for all
	after   Position // where to begin
	upTo    Position // where to end, or 0 for never
	sure    Position // the log is known to reach this far, so a server that gives nothing before is not waited for; 0 if not known
	// patience is how long an interruption is waited out; 0 for as long as it takes.
	patience time.Duration
	// damage is told of each position that is missing or does not hold, and the scan goes on. Nil makes the scan end there.
	damage func(Position, error)
}

// scan yields commits as the server delivers them, in the order of their positions, each once. An unfiltered scan has no
// gaps: what the server skips is fetched from the leader, what was erased is yielded as a placeholder, like a message that is
// no commit, and where the leader has nothing, the scan ends with ErrCorrupt.
// A scan outlives its consumer and its connection's interruptions, where their patience is not bounded. It ends with the cause
// when ctx ends, and where the server refuses what it needs.
//
// It pulls from an ephemeral consumer without acknowledgements. A server that goes quiet though the log goes on, because
// its copy is damaged or its consumer stuck, is found out after fetchWait and read around.
func (s *Store) scan(ctx context.Context, o scanOptions) iter.Seq2[*Commit, error] {
	return func(yield func(*Commit, error) bool) {
		r := &scanner{store: s, scanOptions: o, position: o.after, yield: yield}
		defer r.drop()
		if o.damage != nil { // who verifies reads also a log that has lost its end
			r.run(ctx)
			return
		}
		bound, free := s.log.verdict.bind(ctx)
		defer free()
		r.run(bound)
	}
}

type scanner struct {
	scanOptions
	store    *Store
	position Position // of the last commit yielded
	served   bool     // there was a consumer once
	consumer string   // its name; "" where there is none
	pull     *jsapi.Pull
	failing  time.Time // when the first of the failures came since the last commit
	quiets   int       // waits in a row that brought nothing
	rooms    []room    // for the commits that come next
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
		if err := r.store.reads.Pause(ctx, rescans, failures); err != nil {
			r.yield(nil, err)
			return
		}
	}
}

// final gives the error that a scan ends with after a failure, or nil where it is tried again. A refusal is final, but for one: a
// server may have as many consumers as it allows because it still keeps those of a connection that was lost.
func (r *scanner) final(err error) error {
	s, what := r.store, fmt.Sprintf("read %s behind position %d", r.store.name, r.position)
	failing := time.Since(r.failing)
	switch {
	case s.reads.Session().Closed():
		return fmt.Errorf("eventstore: %s: %w: connect again", what, err)
	case r.served && errors.Is(err, jetstream.ErrMaximumConsumersLimit) && failing < s.cfg.readTimeout():
		return nil
	case jsapi.IsRefusal(err):
		return fmt.Errorf("%w: allow it to this user, or raise the limit", because(what, err))
	case r.patience > 0 && failing > r.patience:
		return because(what, err)
	}
	return nil
}

// drop gives the consumer back.
func (r *scanner) drop() {
	if r.pull != nil {
		r.pull.Close()
	}
	if r.consumer != "" {
		r.store.reads.DropConsumer(r.store.name, r.consumer)
	}
	r.pull, r.consumer = nil, ""
}

// room gives memory for a commit. It is allocated for several at once, so who keeps one commit of a read may keep those beside
// it.
func (r *scanner) room() *room {
	if len(r.rooms) == 0 {
		r.rooms = make([]room, roomsAtOnce)
	}
	m := &r.rooms[0]
	r.rooms = r.rooms[1:]
	return m
}

// fetch yields the next commits. It reports false when the scan is over, and an error when it must be tried again.
func (r *scanner) fetch(ctx context.Context) (more bool, err error) {
	if ctx.Err() != nil {
		return r.fail(context.Cause(ctx))
	}
	if err := r.open(ctx); err != nil {
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			looked := r.store.suspect(ctx)
			switch {
			case isDamage(looked):
				return r.fail(looked)
			case looked != nil:
				return true, looked
			}
			return r.fail(fmt.Errorf("eventstore: read %s: %w", r.store.name, err))
		case isDamage(err):
			return r.fail(err)
		case ctx.Err() != nil:
			return r.fail(context.Cause(ctx))
		}
		return true, err
	}
	wait := fetchWait
	if r.position < r.sure {
		wait = boundedWait
	}
	msg, err := r.pull.Next(ctx, wait)
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

func (r *scanner) fail(err error) (bool, error) {
	r.yield(nil, err)
	return false, nil
}

func (r *scanner) open(ctx context.Context) error {
	if r.pull != nil {
		return nil
	}
	// Who verifies reads a damaged log, too, and who reads filtered is asked by those who find out.
	if r.damage == nil && r.subject == "" {
		look := r.store.trusted
		if r.served {
			look = r.store.suspect // the consumer is gone, perhaps with the stream
		}
		if err := look(ctx); err != nil {
			return err
		}
	}
	if err := r.store.checkReads(ctx); err != nil {
		return err
	}
	r.consumer = rand.Text()
	cfg := jetstream.ConsumerConfig{
		Name:              r.consumer,
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       uint64(r.position) + 1,
		AckPolicy:         jetstream.AckNonePolicy,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: consumerInactive,
	}
	if r.subject != "" {
		cfg.FilterSubject = r.subject
	}
	consumer, err := r.store.reads.CreateConsumer(ctx, r.store.name, cfg)
	if err != nil {
		return err
	}
	r.served = true
	r.pull, err = r.store.reads.NewPull(r.store.name, consumer, aheadOf(r.store.reads))
	return err
}

// aheadOf bounds what the server sends of a pull before it is taken.
func aheadOf(c *jsapi.Client) jsapi.Ahead {
	return jsapi.Ahead{Messages: fetchMessages, Bytes: max(fetchBytes, 4*int(c.Session().MaxPayload())), Expires: fetchWait}
}

// message yields the commit in a message, after those that the server skipped before it. Like fetch, it reports whether the
// scan goes on, and an error when it must be tried again.
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
		c, err := r.store.commitIn(r.room(), msg.Subject, position, msg.Data)
		if err == nil {
			return r.commit(ctx, c)
		}
	}
	r.position = position - 1
	return r.refetch(ctx, position) // the leader may have it whole, and knows what it is
}

// commit yields one commit, once it is on disk, and reports whether the scan goes on.
func (r *scanner) commit(ctx context.Context, c *Commit) (more bool, _ error) {
	if err := r.store.onDisk(ctx, c.Position); err != nil {
		return r.fail(err)
	}
	r.position = c.Position
	return r.yield(c, nil) && (r.upTo == 0 || r.position < r.upTo), nil
}

// damaged ends the scan with what is wrong at a position, or tells of it and goes on.
func (r *scanner) damaged(position Position, err error) (more bool, _ error) {
	if r.damage == nil {
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
		c, err := r.store.place(ctx, missing)
		if err == nil && c == nil {
			err = r.store.missing(missing)
		}
		switch {
		case errors.Is(err, ErrCorrupt):
			more, err := r.damaged(missing, err)
			if !more || err != nil {
				return more, err
			}
			continue
		case err != nil && jsapi.Transient(err):
			return true, err
		case err != nil && ctx.Err() != nil:
			return r.fail(context.Cause(ctx))
		case err != nil:
			return r.fail(because(fmt.Sprintf("read %s at position %d", r.store.name, missing), err))
		}
		switch {
		case c.foreign != nil:
			r.store.passForeign(ctx, c.foreign)
		case !c.erased:
			r.store.counters.refetched.Add(1)
		}
		if more, err := r.commit(ctx, c); !more || err != nil {
			return more, err
		}
	}
	return true, nil
}

// quiet decides what it means that a wait brought nothing.
func (r *scanner) quiet(ctx context.Context) (more bool, err error) {
	end, err := r.store.end(ctx)
	if err != nil {
		return true, err
	}
	if end < r.position {
		// The log went backwards, or its new leader is not as far yet.
		err := r.store.suspect(ctx)
		if isDamage(err) {
			return r.fail(err)
		}
		return true, err
	}
	if r.subject != "" {
		// What a filtered reader was not given may be there for others, so its consumer is made anew, perhaps on another
		// replica. In the end, who reads filtered checks the versions.
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

// positionOf reads the stream sequence from the subject for acknowledgements, which messages of a consumer that wants
// none carry too. It is the sixth token, or the eighth where domain and account stand in front:
//
//	$JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.<consumer sequence>.<time>.<pending>
//	$JS.ACK.<domain>.<account>.<stream>.<consumer>.<deliveries>.<stream sequence>.<consumer sequence>.<time>.<pending>[.<random>]
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
