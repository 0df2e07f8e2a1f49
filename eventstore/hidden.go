package eventstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/serverversion"
)

// A server does not say that its disk is damaged. It says that there is no such message, or returns the one before:
//
//	damage in the newest commit's     the server answers a request for the subject's last message with
//	data                              not found
//	subject                           the commit before, and takes another on top of it
//
// It still knows how many messages each subject has, because it keeps these counts in its index and not beside the
// messages. If it rebuilt the index from the messages that it could read, positions are missing inside the log or at
// its end. Open and the first use of a new connection look for those.
//
// An append to a stream that is taken for empty expects that the subject has no message. Servers before 2.15.3 load the
// message to compare, and accept the append if that message is damaged. Since 2.15.3 they compare with the index:
//
//	damage in the only commit's       count    expectation, before 2.15.3    since
//	data, header, time, checksum      1        taken                         refused
//	subject                           1        taken                         taken
//	length, sequence                  1        taken, at a position that     taken, likewise
//	                                           was given out before
//
// So the store asks for the count before such an append. It does not ask if the leader compares with its index and has
// just counted no message on another new stream. So a program that begins a stream now and then asks for each, and one
// that begins thousands a second does not pay a round trip for each. In such a burst, an append may stand on top of a
// commit whose subject is damaged. Then the next load of the stream reports it, because it finds fewer messages than
// the server counts.

// burst is for how long the count of one new stream spares other new streams the question.
const burst = 250 * time.Millisecond

// emptyFor is how long the answer that a stream is empty may be used. A commit that was stored since is still in the
// server's memory, because the server keeps what was written for at least 10 seconds. So damage on disk cannot have
// hidden it.
const emptyFor = 5 * time.Second

// confirmEmpty asks the leader whether it counts messages on a subject whose last message was not found. It reports
// true if the leader has a last message: a replica lagged behind or is damaged, or the first commit was stored between
// the questions.
func (l *load) confirmEmpty(ctx context.Context) (moved bool, err error) {
	counted, err := l.fetcher.conn.countOf(ctx, l.subject)
	if err != nil || counted == 0 {
		return false, err
	}
	_, err = l.tail(ctx, true)
	if errors.Is(err, jsapi.ErrNotFound) {
		err = &ReadError{Store: l.fetcher.conn.store, Reason: ErrCorrupt, Stream: l.stream,
			Err: fmt.Errorf("the server counts %d messages of the stream and has no last one", counted)}
	}
	return true, err
}

// waitForFirst takes the subject's first message and count, once, if the server that was asked has them.
func (l *load) waitForFirst(ctx context.Context) error {
	if l.told {
		return nil
	}
	msg, err := l.gets.First(ctx)
	l.told, l.count = true, msg.Pending+1
	if l.first, err = l.fetcher.decoder.parse(msg, err); ofReplica(err) {
		return nil
	}
	return err
}

// confirmCount compares how many messages of the subject were found, up to its last one, with how many the server
// counts. It reports true if the load must be repeated with the leader.
//
// The count of any replica settles it nearly always. If it is higher, that replica may be ahead of the one that
// returned the last message, or remainders of torn transactions lie between the commits. Then the leader is asked, and
// all messages are counted. Each message that was not found must be such a remainder.
func (l *load) confirmCount(ctx context.Context, tail *Commit, commits []*Commit, leader bool) (again bool, err error) {
	if l.asked {
		if err := l.waitForFirst(ctx); err != nil {
			return false, err
		}
	}
	found := len(commits) + l.torn + l.fetcher.foreign.on(l.subject, tail.Position)
	if l.first != nil && l.count <= uint64(found) {
		return false, nil
	}
	counted, err := l.fetcher.conn.countOf(ctx, l.subject)
	if err != nil {
		return false, err
	}
	now, err := l.tail(ctx, true)
	if errors.Is(err, jsapi.ErrNotFound) {
		if err = l.fetcher.reaches(ctx, tail.Position); err == nil {
			err = l.hidden(tail, counted, found)
		}
	}
	if err != nil {
		return false, err
	}
	if now.Position != tail.Position && !leader {
		return true, nil
	}
	if counted <= uint64(found) {
		return false, nil
	}
	read := 0
	for c, err := range l.fetcher.scan(ctx, scanOptions{watch: l.watch, subject: l.subject, upTo: now.Position, patience: l.fetcher.conn.cfg.ReadTimeout}) {
		if err == nil && c.foreign == nil && c.Position <= tail.Position {
			err = l.confirmTorn(ctx, c, commits)
		}
		if err != nil {
			return false, err
		}
		read++
	}
	if counted <= uint64(read) {
		return false, nil
	}
	return false, l.hidden(tail, counted, read)
}

// confirmTorn makes sure that a commit on the subject is among the commits that were found, newest first, or is a
// remainder of a torn transaction. Otherwise the links of the commits after it leave out a part of the history.
func (l *load) confirmTorn(ctx context.Context, c *Commit, commits []*Commit) error {
	_, found := slices.BinarySearchFunc(commits, c.Position, func(c *Commit, p Position) int { return cmp.Compare(p, c.Position) })
	if found {
		return nil
	}
	whole, err := l.fetcher.whole(ctx, c)
	if err == nil && whole {
		err = &ReadError{Store: l.fetcher.conn.store, Reason: ErrCorrupt, Stream: l.stream, Position: c.Position,
			Err: fmt.Errorf("version %d stands here, and the stream's later commits do not go on from it", c.First)}
	}
	return err
}

func (l *load) hidden(tail *Commit, counted uint64, found int) error {
	return &ReadError{Store: l.fetcher.conn.store, Reason: ErrCorrupt, Stream: l.stream, Position: tail.Position,
		Err: fmt.Errorf("the server counts %d messages of the stream, %d of them can be read", counted, found)}
}

// beforeAppend asks what must be known before an append, with the patience of an append.
func (wr *writer) beforeAppend(ctx context.Context, w Write, ask func(context.Context) error) error {
	patience := wr.conn.cfg.AppendTimeout
	timed, cancel := context.WithTimeoutCause(ctx, patience, errAppendTimeout)
	defer cancel()
	return wr.conn.insist(timed, patience, "append "+w.Stream.String(), func() error { return ask(timed) })
}

// confirmation says that the leader counted no message of a new stream, and that it compares expectations with its
// index.
type confirmation struct {
	connection uint64
	at         time.Time
}

// confirmFirst makes sure that a stream which an append takes for empty is empty. It does not ask if a load has just
// found that, or if the append's own expectation is enough.
func (wr *writer) confirmFirst(ctx context.Context, w Write) (Head, error) {
	connection := wr.conn.api.Session().Number()
	switch {
	case time.Since(w.Expected.checked) < emptyFor && wr.decoder.origin.gave(w.Stream, &w.Expected):
		return w.Expected, nil
	case wr.inBurst(connection):
		return Head{}, nil
	}
	subject, err := w.Stream.subject(wr.conn.store)
	if err != nil {
		return Head{}, &AppendError{Stream: w.Stream, Version: 1, Reason: ErrInvalidID, Err: err}
	}
	var info jsapi.Info
	err = wr.beforeAppend(ctx, w, func(ctx context.Context) (err error) {
		try, cancel := context.WithTimeoutCause(ctx, wr.conn.cfg.AckTimeout, jsapi.ErrNoReply)
		defer cancel()
		info, err = wr.conn.api.LeaderInfo(try, wr.conn.store, subject, 0)
		return err
	})
	if err != nil {
		reason := ErrUnavailable
		if errors.Is(err, ErrNoPermission) {
			reason = ErrNoPermission
		}
		return Head{}, &AppendError{Stream: w.Stream, Version: 1, Reason: reason, Advice: "whether the stream is empty could not be asked", Err: err}
	}
	if info.Subjects[subject] == 0 {
		if wr.staysStrict(info) {
			wr.confirmed.Store(&confirmation{connection: connection, at: time.Now()})
		}
		return Head{}, nil
	}
	head, err := wr.headFor(ctx, w)
	if err != nil {
		return Head{}, err
	}
	if head.Version > 0 {
		return Head{}, &ConflictError{Stream: w.Stream, Actual: head.Version}
	}
	return head, nil // there are only remainders of torn transactions
}

// inBurst reports whether a new stream was confirmed just before, on this connection. An append that is not simply
// stored ends the burst. When it is time to ask again, one append asks, and the others go on meanwhile.
func (wr *writer) inBurst(connection uint64) bool {
	last := wr.confirmed.Load()
	if last == nil || last.connection != connection {
		return false
	}
	age := time.Since(last.at)
	longer := confirmation{connection: connection, at: last.at.Add(burst)}
	return age < burst || age < 2*burst && !wr.confirmed.CompareAndSwap(last, &longer)
}

// staysStrict reports whether the leader that sent info compares expectations with its index, and leads for as long as
// the connection is the same. With several replicas, an older server may lead from one moment to the next. A single
// replica on the server of this connection stays there, unless an operator moves it.
func (wr *writer) staysStrict(info jsapi.Info) bool {
	return info.Replicas == 1 && info.Leader == wr.conn.js.Conn().ConnectedServerName() && serverversion.ExpectsByIndex(info.Version)
}
