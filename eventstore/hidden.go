package eventstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/runnel-go/runnel/internal/jsapi"
)

// A server whose disk is damaged does not say so. It says that there is no such message, or gives the one before:
//
//	damage in the newest commit's     the server answers a request for the subject's last message with
//	data                              not found, and takes a first commit on top
//	subject                           the commit before, and takes another on top of that
//
// What it still knows is the count of messages on each subject, which is in its index and not beside the messages. Where
// it made the index anew from what it could read, positions are missing inside the log or at its end, which Open and the
// first use of a new connection look for.

// emptyFor is how long the answer that a stream is empty is good for. A commit that was stored since is in the server's
// memory: it drops what was written 10 seconds ago at the earliest. So damage on disk cannot have hidden it.
const emptyFor = 5 * time.Second

// confirmEmpty asks the leader whether it counts messages on a subject whose last was not found. It reports true where the
// leader has a last one: a replica lagged behind or is damaged, or the first commit was stored between the questions.
func (l *load) confirmEmpty(ctx context.Context) (moved bool, err error) {
	counted, err := l.store.countOf(ctx, l.subject)
	if err != nil || counted == 0 {
		return false, err
	}
	_, err = l.tail(ctx, true)
	if errors.Is(err, jsapi.ErrNotFound) {
		err = &CorruptError{Store: l.store.name, Stream: l.stream,
			Err: fmt.Errorf("the server counts %d messages of the stream and has no last one", counted)}
	}
	return true, err
}

// countOf gives how many messages the leader counts on a literal subject.
func (s *Store) countOf(ctx context.Context, subject string) (uint64, error) {
	info, err := s.api.LeaderInfo(ctx, s.name, subject, 0)
	return info.Subjects[subject], err
}

// waitForFirst takes the subject's first message and count, once, where the one who was asked has them.
func (l *load) waitForFirst(ctx context.Context) error {
	if l.told {
		return nil
	}
	msg, err := l.gets.First(ctx)
	l.told, l.count = true, msg.Pending+1
	if l.first, err = l.store.parse(msg, err); ofReplica(err) {
		return nil
	}
	return err
}

// confirmCount compares how many messages of the subject were found, up to its last one, with how many the server counts.
// It reports true where the load must be done again with the leader.
//
// The count of any replica settles it nearly always. Where it is higher, that replica may be ahead of the one that gave
// the last message, or remainders of torn transactions lie between the commits; then the leader is asked, and all
// messages are counted. Each that was not found must be such a remainder.
func (l *load) confirmCount(ctx context.Context, tail *Commit, commits []*Commit, leader bool) (again bool, err error) {
	if l.asked {
		if err := l.waitForFirst(ctx); err != nil {
			return false, err
		}
	}
	found := len(commits) + l.torn
	if l.first != nil && l.count <= uint64(found) {
		return false, nil
	}
	counted, err := l.store.countOf(ctx, l.subject)
	if err != nil {
		return false, err
	}
	now, err := l.tail(ctx, true)
	if errors.Is(err, jsapi.ErrNotFound) {
		return false, l.hidden(tail, counted, found)
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
	for c, err := range l.store.scan(ctx, scanOptions{subject: l.subject, upTo: now.Position}) {
		if err == nil && c.Position <= tail.Position {
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

// confirmTorn makes sure that a commit on the subject is among those that were found, newest first, or a remainder of a torn
// transaction. Any other is history that the links of the commits behind it leave out.
func (l *load) confirmTorn(ctx context.Context, c *Commit, commits []*Commit) error {
	_, found := slices.BinarySearchFunc(commits, c.Position, func(c *Commit, p Position) int { return cmp.Compare(p, c.Position) })
	if found {
		return nil
	}
	whole, err := l.store.whole(ctx, c)
	if err == nil && whole {
		err = &CorruptError{Store: l.store.name, Stream: l.stream, Position: c.Position,
			Err: fmt.Errorf("version %d stands here, and the stream's later commits do not go on from it", c.First)}
	}
	return err
}

func (l *load) hidden(tail *Commit, counted uint64, found int) error {
	return &CorruptError{Store: l.store.name, Stream: l.stream, Position: tail.Position,
		Err: fmt.Errorf("the server counts %d messages of the stream, %d of them can be read", counted, found)}
}

// beforeAppend asks what has to be known before an append, with the patience of an append.
func (s *Store) beforeAppend(ctx context.Context, w Write, ask func(context.Context) error) error {
	patience := s.cfg.appendTimeout()
	timed, cancel := context.WithTimeoutCause(ctx, patience, errAppendTimeout)
	defer cancel()
	return s.insist(timed, patience, "append "+w.Stream.String(), func() error { return ask(timed) })
}

// confirmFirst makes sure that a stream which an append takes for empty is so, unless the head comes from a load that just
// did. The append's own expectation is not enough: a server whose newest message of the stream is damaged takes it.
func (s *Store) confirmFirst(ctx context.Context, w Write) (Head, error) {
	if time.Since(w.Expected.checked) < emptyFor && s.origin.gave(w.Stream, w.Expected) {
		return w.Expected, nil
	}
	subject, err := w.Stream.subject(s.name)
	if err != nil {
		return Head{}, &AppendError{Stream: w.Stream, Version: 1, Reason: ErrInvalidID, Err: err}
	}
	var counted uint64
	err = s.beforeAppend(ctx, w, func(ctx context.Context) (err error) {
		try, cancel := context.WithTimeoutCause(ctx, s.cfg.ackTimeout(), jsapi.ErrNoReply)
		defer cancel()
		counted, err = s.countOf(try, subject)
		return err
	})
	if err != nil {
		reason := ErrUnavailable
		if errors.Is(err, ErrNoPermission) {
			reason = ErrNoPermission
		}
		return Head{}, &AppendError{Stream: w.Stream, Version: 1, Reason: reason, Advice: "whether the stream is empty could not be asked", Err: err}
	}
	if counted == 0 {
		return Head{}, nil
	}
	head, err := s.headFor(ctx, w)
	if err != nil {
		return Head{}, err
	}
	if head.Version > 0 {
		return Head{}, &ConflictError{Stream: w.Stream, Actual: head.Version}
	}
	return head, nil // there are remainders of torn transactions only
}
