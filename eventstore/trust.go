package eventstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
//	settings that were changed are no verdict. Each use looks at the log again until they are put back
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
	conn    *conn
	seen    *seen
	fetcher *fetcher

	looks shared // at the log
}

// condemn makes an error the verdict, unless there is one, and returns the verdict.
func (t *trust) condemn(err error) error {
	first, verdict := t.conn.verdict.set(err)
	t.seen.distrust()
	if first {
		t.conn.api.Interrupt()
	}
	return verdict
}

// trusted returns nil if the log was found right on the present connection. Otherwise it looks at the log. It returns
// an error that matches ErrCorrupt, ErrLogRewound or ErrSettings if the log is not right, or the error that kept it
// from looking.
func (t *trust) trusted(ctx context.Context) error {
	if t.conn.cfg.Salvage {
		return nil
	}
	t.seen.used()
	return t.look(ctx, false)
}

// suspect looks at the log even if that was done on this connection, because something speaks against the log. A look
// that was begun before does not count.
func (t *trust) suspect(ctx context.Context) error {
	if t.conn.cfg.Salvage {
		return nil
	}
	return t.look(ctx, true)
}

// look looks at the log, or shares a look that is under way. A look that was begun before this call may have been made
// on another connection. If a fresh one is needed, or the log was not found right on this connection, another follows.
func (t *trust) look(ctx context.Context, fresh bool) error {
	before := t.looks.count()
	for {
		if err := t.conn.verdict.get(); err != nil {
			return err
		}
		connection := t.conn.api.Session().Number()
		if !fresh && t.seen.comparedOn(connection) {
			return nil
		}
		number, err := t.looks.join(ctx, func(ctx context.Context) error { return t.compareOn(ctx, connection) })
		if number > before || number > 0 && err != nil && !fresh {
			return err
		}
		if number == 0 {
			return cmp.Or(t.conn.verdict.get(), err) // the verdict ends contexts as well
		}
	}
}

// compareOn compares the log with what is known of it, and notes on which connection.
func (t *trust) compareOn(ctx context.Context, connection uint64) error {
	if err := t.checkLog(ctx, t.seen.known(t.conn.opened.identity)); err != nil {
		return err
	}
	t.seen.compared.Store(connection)
	err := t.conn.verdict.get()
	if err != nil {
		t.seen.distrust() // an acknowledgement was faster
	}
	return err
}

// ready is trusted for a connection that is up. A publish made while disconnected may be sent on the next connection,
// because nats.go holds its lock while it reconnects.
func (t *trust) ready(ctx context.Context) error {
	if err := t.conn.api.Session().Connected(); err != nil {
		return err
	}
	return t.trusted(ctx)
}

// checkLog compares the log with what is known of it, and makes a difference the verdict. It waits for a lost reply no
// longer than for an acknowledgement, because everything that uses the store waits for this.
func (t *trust) checkLog(ctx context.Context, known []mark) error {
	if err := t.conn.verdict.get(); err != nil {
		return err
	}
	if err := t.conn.api.Other(); err != nil {
		return t.condemn(otherStream(t.conn.store, err))
	}
	deadline := time.Now().Add(leaderLag)
	for try := 1; ; try++ {
		_, lags, err := t.lookAtLog(ctx, known)
		switch {
		case !isVerdict(err):
			return err
		case !lags, time.Now().After(deadline):
			return t.condemn(err)
		}
		if waited := recheck.Wait(ctx, try); waited != nil {
			return waited
		}
	}
}

// lookAtLog is one look. It reports lags if a new leader that has not caught up yet may be the reason for what is
// wrong.
func (t *trust) lookAtLog(ctx context.Context, known []mark) (info jsapi.Info, lags bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, t.conn.cfg.AckTimeout, jsapi.ErrNoReply)
	defer cancel()
	asked := time.Now()
	info, err = t.conn.api.LeaderInfo(ctx, t.conn.store, "", 0)
	if err == nil {
		t.conn.hearTime(ctx, asked, info.Time)
		lags, err = t.compareLog(ctx, known, info)
	}
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return info, false, rewound(t.conn.store, newest(known), 0, "its JetStream stream is gone")
	case err != nil && ctx.Err() != nil && !isDamage(err):
		err = context.Cause(ctx)
	}
	return info, lags, err
}

// compareLog compares what is known with the log as its leader describes it.
func (t *trust) compareLog(ctx context.Context, known []mark, info jsapi.Info) (lags bool, err error) {
	end := Position(info.Last)
	switch {
	case info.Domain != t.conn.opened.domain:
		return false, t.otherDomain(info.Domain)
	case info.Metadata[metaIdentity] != t.conn.opened.identity:
		return false, rewound(t.conn.store, newest(known), end, "it is another log: the store was made anew under the same name")
	case info.Metadata[metaImport] != "":
		return false, rewound(t.conn.store, newest(known), end, "it is being imported")
	}
	if err := t.compareSettings(info); err != nil {
		return false, err // before it is asked what a changed setting may have deleted
	}
	if missing := info.Last - info.Messages; missing > 0 {
		if err := t.accountFor(ctx, missing); err != nil {
			return false, err
		}
	}
	for _, seen := range known {
		if lags, err := t.compareMark(ctx, seen, info); err != nil {
			return lags, err
		}
	}
	return false, nil
}

// compareSettings checks whether the stream still has the settings on which the guarantees depend.
func (t *trust) compareSettings(info jsapi.Info) error {
	have, err := info.Settings()
	if err != nil {
		return err
	}
	var drifted error
	if differences := t.conn.compareGuarantees(have); len(differences) > 0 {
		drifted = settingsDrifted(t.conn.store, differences)
		t.seen.distrust() // until they are put back
	}
	t.conn.drifted.Store(&drifted)
	return drifted
}

// compareMark checks whether a commit that was seen still stands in the log.
func (t *trust) compareMark(ctx context.Context, seen mark, info jsapi.Info) (lags bool, err error) {
	end := Position(info.Last)
	endsBefore := func() (bool, error) {
		end := min(end, seen.Position-1)
		return info.Replicas > 1 && info.Created.Equal(t.conn.opened.created), rewound(t.conn.store, seen, end, "it ends before that")
	}
	switch {
	case seen.Position == 0:
		return false, nil
	case seen.Store != t.conn.opened.identity:
		return false, rewound(t.conn.store, seen, end, "it is another log: the store was made anew under the same name")
	case end < seen.Position:
		return endsBefore()
	}
	c, err := t.fetcher.place(ctx, seen.Position)
	switch {
	case err != nil:
		return false, err
	case c == nil:
		return endsBefore() // the leader has changed since it described the log
	case c.ID.String() != seen.Commit:
		return false, rewound(t.conn.store, seen, end, "it has commit "+c.ID.String()+" there")
	}
	return false, nil
}

// compareOpened compares the log with the mark.
func (t *trust) compareOpened(ctx context.Context) error {
	if err := t.checkLog(ctx, t.seen.known(t.conn.opened.identity)); err != nil || t.conn.disk == nil {
		return err
	}
	// Commits that an earlier process left unsynced are synced at once, and not by each read that meets one.
	info, err := t.conn.api.LeaderInfo(ctx, t.conn.store, "", 0)
	if err != nil {
		return err
	}
	return t.conn.synced(t.conn.disk.Opened(ctx, info.Last))
}

// accountFor returns an error if more positions are missing inside the log than were erased.
func (t *trust) accountFor(ctx context.Context, missing uint64) error {
	var erased uint64
	if t.conn.cfg.Erasure {
		var err error
		if erased, err = t.fetcher.erasures.count(ctx, t.fetcher); err != nil {
			return err
		}
	}
	if missing <= erased {
		return nil
	}
	lost := fmt.Errorf("the server says that %d positions are missing, %d were erased: run Store.Verify", missing, erased)
	return &ReadError{Store: t.conn.store, Reason: ErrCorrupt, Err: lost}
}

func rewound(store string, seen mark, end Position, what string) error {
	return &LogRewoundError{Store: store, End: end, Position: seen.Position, CommitID: seen.Commit, Reason: what}
}

// otherDomain returns the error of a connection that leads to another JetStream domain than the one in which the store
// was opened.
func (t *trust) otherDomain(domain string) error {
	return otherStream(t.conn.store, fmt.Errorf("%w: the connection leads to JetStream domain %q now, the store was opened in %q",
		jsapi.ErrOtherStream, domain, t.conn.opened.domain))
}
