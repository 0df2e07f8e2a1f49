package eventstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/backoff"
	"github.com/runnel-go/runnel/internal/jsapi"
)

// A log may be replaced, or go backwards, under a program that runs, while the connection stays up. An older backup is
// restored, a node brings the stream up without its disk, or an operator deletes the stream and makes it anew. The
// server then uses its positions a second time. A store notices that as follows:
//
//	known    the log's identity; the mark, whose commit was found in the log; the highest position seen since
//	proof    an acknowledgement at or below what was seen before the publish was sent, even if look finds the commit
//	check    the leader's stream has another identity, ends before what is known, or has another commit there.
//	         It comes at Open, at the first use of each connection, half a second after a use, when a reader lost its
//	         consumer, and if the leader says that the log ends before what was seen
//	verdict  the first proof, or the first check that fails. Everything ends with it from then on
//	mark     rises only right after a check found it and the commit to which it is to rise
//
// With several replicas, a log that ends too early does not lead to a verdict until leaderLag has passed, unless the
// stream was made anew. The verdict stays until the store is opened again.

// leaderLag is how long a log that seems to end too early is given with several replicas, because a new leader may not
// have applied yet what it was elected for.
const leaderLag = 5 * time.Second

// recheck spaces the looks at a log that seems to end too early.
var recheck = backoff.Policy{Base: 50 * time.Millisecond, Max: 500 * time.Millisecond}

// trust says whether the log still has what was seen of it. The log is looked at once for each connection to a server,
// because a server that starts again may have lost a part of it, and nothing else tells the client.
type trust struct {
	storage  jetstream.StorageType
	replicas int
	domain   string    // of JetStream
	created  time.Time // when the stream was made

	mu sync.Mutex // held while the log is looked at

	verdict verdict
}

// Done is closed when the store has found that its log was replaced, has lost its end, or is not the only one. From
// then on everything that the store does ends with the error that [Store.Err] returns.
func (s *Store) Done() <-chan struct{} { return s.log.verdict.done }

// Err returns nil until [Store.Done] is closed, and then an error that matches ErrLogRewound or ErrOtherStream.
func (s *Store) Err() error { return s.log.verdict.get() }

// verdict is the error with which everything ends once the log was found to be another, or to have lost its end.
type verdict struct {
	done chan struct{}

	mu    sync.Mutex // guards what follows
	err   error
	ended map[*context.CancelCauseFunc]struct{} // what is under way
}

// get returns the verdict, or nil if there is none.
func (v *verdict) get() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.err
}

// set makes err the verdict, unless there is one. It returns the verdict, and whether err is it.
func (v *verdict) set(err error) (first bool, verdict error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err != nil {
		return false, v.err
	}
	v.err = err
	close(v.done)
	for cancel := range v.ended {
		(*cancel)(err)
	}
	return true, err
}

// bind returns a context that ends with the verdict as its cause, and a function to call when it is not needed any
// more.
func (v *verdict) bind(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err != nil {
		cancel(v.err)
	}
	if v.ended == nil {
		v.ended = make(map[*context.CancelCauseFunc]struct{})
	}
	v.ended[&cancel] = struct{}{}
	return ctx, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.ended, &cancel)
		cancel(nil)
	}
}

// isVerdict reports whether an error is final: the log was replaced, has lost its end, or is not the only one.
func isVerdict(err error) bool {
	return errors.Is(err, ErrLogRewound) || errors.Is(err, ErrOtherStream)
}

// isDamage reports whether an error says something about the log itself, and not about the way to it.
func isDamage(err error) bool { return errors.Is(err, ErrCorrupt) || isVerdict(err) }

// condemn makes an error the verdict, unless there is one, and returns the verdict.
func (s *Store) condemn(err error) error {
	first, verdict := s.log.verdict.set(err)
	s.seen.distrust()
	if first {
		s.api.Interrupt()
	}
	return verdict
}

// trusted returns nil if the log was found right on the present connection. Otherwise it looks at the log. It returns
// an error that matches ErrCorrupt, ErrLogRewound or ErrOtherStream if the log is not right, or the error that kept it
// from looking.
func (s *Store) trusted(ctx context.Context) error {
	if s.cfg.salvage() {
		return nil
	}
	s.seen.used()
	connection := s.api.Session().Number()
	if s.seen.comparedOn(connection) {
		return nil
	}
	return s.lookOnce(ctx, func() bool { return s.seen.comparedOn(connection) }, connection)
}

// suspect looks at the log even if that was done on this connection, because something speaks against the log.
func (s *Store) suspect(ctx context.Context) error {
	if s.cfg.salvage() {
		return nil
	}
	return s.lookOnce(ctx, func() bool { return false }, s.api.Session().Number())
}

// lookOnce looks at the log, unless another goroutine has done so while this one waited for its turn.
func (s *Store) lookOnce(ctx context.Context, done func() bool, connection uint64) error {
	if err := s.log.verdict.get(); err != nil {
		return err
	}
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	if done() {
		return nil
	}
	if err := s.checkLog(ctx, s.seen.known(s.identity)); err != nil {
		return err
	}
	s.seen.compared.Store(connection)
	err := s.log.verdict.get()
	if err != nil {
		s.seen.distrust() // an acknowledgement was faster
	}
	return err
}

// ready is trusted for a connection that is up. A publish made while disconnected may be sent on the next connection,
// because nats.go holds its lock while it reconnects.
func (s *Store) ready(ctx context.Context) error {
	if err := s.api.Session().Connected(); err != nil {
		return err
	}
	return s.trusted(ctx)
}

// checkLog compares the log with what is known of it, and makes a difference the verdict. It waits for a lost reply no
// longer than for an acknowledgement, because everything that uses the store waits for this.
func (s *Store) checkLog(ctx context.Context, known []mark) error {
	if err := s.log.verdict.get(); err != nil {
		return err
	}
	if err := s.api.Other(); err != nil {
		return s.condemn(otherStream(s.name, err))
	}
	deadline := time.Now().Add(leaderLag)
	for try := 1; ; try++ {
		lags, err := s.lookAtLog(ctx, known)
		switch {
		case !isVerdict(err):
			return err
		case !lags, time.Now().After(deadline):
			return s.condemn(err)
		}
		if waited := recheck.Wait(ctx, try); waited != nil {
			return waited
		}
	}
}

// lookAtLog is one look. It reports lags if a new leader that has not caught up yet may be the reason for what is
// wrong.
func (s *Store) lookAtLog(ctx context.Context, known []mark) (lags bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.cfg.ackTimeout(), jsapi.ErrNoReply)
	defer cancel()
	info, err := s.api.LeaderInfo(ctx, s.name, "", 0)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return false, s.rewound(newest(known), 0, "its JetStream stream is gone")
	case err != nil:
		return false, err
	}
	lags, err = s.compareLog(ctx, known, info)
	if ctx.Err() != nil && err != nil && !isDamage(err) {
		err = context.Cause(ctx)
	}
	return lags, err
}

// mayAppend is ready for appends. They wait for it with the same patience as for everything else. It returns the
// connection on which the log was looked at.
func (s *Store) mayAppend(ctx context.Context, w Write) (*jsapi.Session, error) {
	refused := func(reason error, advice string, err error) (*jsapi.Session, error) {
		return nil, &AppendError{Stream: w.Stream, Version: w.Expected.Version + 1, Reason: reason, Advice: advice, Err: err}
	}
	if s.cfg.salvage() {
		return refused(ErrRefused, "the store was opened with Config.Salvage, to be read only", nil)
	}
	if err := s.disk.Failed(); err != nil {
		return refused(ErrDisk, "", err)
	}
	if session := s.api.Session(); session.Connected() == nil && s.seen.comparedOn(session.Number()) {
		return session, nil
	}
	err := s.beforeAppend(ctx, w, s.ready)
	if err == nil || isDamage(err) {
		return s.api.Session(), err
	}
	return refused(ErrUnavailable, "whether the log is whole could not be asked", err)
}

// compareLog compares what is known with the log as its leader describes it.
func (s *Store) compareLog(ctx context.Context, known []mark, info jsapi.Info) (lags bool, err error) {
	end := Position(info.Last)
	switch {
	case info.Domain != s.log.domain:
		return false, s.otherDomain(info.Domain)
	case info.Metadata[metaIdentity] != s.identity:
		return false, s.rewound(newest(known), end, "it is another log: the store was made anew under the same name")
	case info.Metadata[metaImport] != "":
		return false, s.rewound(newest(known), end, "it is being imported")
	}
	if missing := info.Last - info.Messages; missing > 0 {
		if err := s.accountFor(ctx, missing); err != nil {
			return false, err
		}
	}
	for _, seen := range known {
		if lags, err := s.compareMark(ctx, seen, info); err != nil {
			return lags, err
		}
	}
	return false, nil
}

// compareMark checks whether a commit that was seen still stands in the log.
func (s *Store) compareMark(ctx context.Context, seen mark, info jsapi.Info) (lags bool, err error) {
	end := Position(info.Last)
	endsBefore := func() (bool, error) {
		end := min(end, seen.Position-1)
		return info.Replicas > 1 && info.Created.Equal(s.log.created), s.rewound(seen, end, "it ends before that")
	}
	switch {
	case seen.Position == 0:
		return false, nil
	case seen.Store != s.identity:
		return false, s.rewound(seen, end, "it is another log: the store was made anew under the same name")
	case end < seen.Position:
		return endsBefore()
	}
	c, err := s.place(ctx, seen.Position)
	switch {
	case err != nil:
		return false, err
	case c == nil:
		return endsBefore() // the leader has changed since it described the log
	case c.ID.String() != seen.Commit:
		return false, s.rewound(seen, end, "it has commit "+c.ID.String()+" there")
	}
	return false, nil
}

// accountFor returns an error if more positions are missing inside the log than were erased.
func (s *Store) accountFor(ctx context.Context, missing uint64) error {
	var erased uint64
	if s.cfg.erasure() {
		var err error
		if erased, err = s.erasures.count(ctx, s); err != nil {
			return err
		}
	}
	if missing <= erased {
		return nil
	}
	return &CorruptError{Store: s.name, Err: fmt.Errorf("the server says that %d positions are missing, %d were erased: run Store.Verify", missing, erased)}
}

func (s *Store) rewound(seen mark, end Position, what string) error {
	return &LogRewoundError{Store: s.name, End: end, Position: seen.Position, CommitID: seen.Commit, Reason: what}
}

// otherDomain returns the error of a connection that leads to another JetStream domain than the one in which the store
// was opened.
func (s *Store) otherDomain(domain string) error {
	return otherStream(s.name, fmt.Errorf("%w: the connection leads to JetStream domain %q now, the store was opened in %q", ErrOtherStream, domain, s.log.domain))
}

// reaches makes sure that the log has a position behind which a read is to begin. Otherwise the read would pass over
// commits until the log is as long.
func (s *Store) reaches(ctx context.Context, after Position) error {
	if after == 0 || after <= s.seen.highest() {
		return nil
	}
	deadline := time.Now().Add(leaderLag)
	for try := 1; ; try++ {
		end, err := s.awaitEnd(ctx)
		if err != nil || after <= end {
			return err
		}
		ahead := positionAhead(s.name, after, end)
		if s.log.replicas < 2 || time.Now().After(deadline) {
			return ahead
		}
		if err := recheck.Wait(ctx, try); err != nil {
			return errors.Join(ahead, err) // a short ReadTimeout ends before the leader's time does
		}
	}
}
