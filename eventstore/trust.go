package eventstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/backoff"
	"github.com/runnel-go/runnel/internal/jsapi"
)

// leaderLag is how long a log that seems to have gone backwards is given on several replicas: a new leader may not have
// applied yet what it was elected for.
const leaderLag = 5 * time.Second

// recheck spaces the looks at a log that seems to have gone backwards.
var recheck = backoff.Policy{Base: 50 * time.Millisecond, Max: 500 * time.Millisecond}

// trust says whether the log was found to be what it was. It is looked at once for each connection to a server: a server
// that starts again may have lost what it had, and a client notices by nothing else.
type trust struct {
	storage  jetstream.StorageType
	replicas int

	mu sync.Mutex // held while the log is looked at
	at atomic.Uint64
}

// distrust makes the next append or load look at the log again.
func (t *trust) distrust() { t.at.Store(0) }

// lookedAt reports whether the log was looked at on this connection, by its number.
func (s *Store) lookedAt(connection uint64) bool { return s.log.at.Load() == connection }

// trusted returns nil where the log was found right on the present connection. Otherwise it looks at the log, and returns
// an error that matches ErrCorrupt or ErrLogRewound where it is not, or what kept it from looking.
func (s *Store) trusted(ctx context.Context) error {
	if s.cfg.salvage() {
		return nil
	}
	connection := s.api.Session().Number()
	if s.lookedAt(connection) {
		return nil
	}
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	if s.lookedAt(connection) {
		return nil
	}
	if err := s.checkLog(ctx, s.marker.mark()); err != nil {
		return err
	}
	s.log.at.Store(connection)
	return nil
}

// ready is trusted of a connection that is there. What is published while there is none may go out on the next one, for which a
// publish waits that comes at the moment it is made.
func (s *Store) ready(ctx context.Context) error {
	if err := s.api.Session().Connected(); err != nil {
		return err
	}
	return s.trusted(ctx)
}

// checkLog compares the log with what was seen of it. A reply that is lost is not waited for longer than an acknowledgement,
// since all that use the store wait for this.
func (s *Store) checkLog(ctx context.Context, seen mark) error {
	deadline := time.Now().Add(leaderLag)
	for try := 1; ; try++ {
		replicas, err := s.lookAtLog(ctx, seen)
		if !errors.Is(err, ErrLogRewound) || replicas < 2 || time.Now().After(deadline) {
			return err
		}
		if waited := recheck.Wait(ctx, try); waited != nil {
			return waited
		}
	}
}

func (s *Store) lookAtLog(ctx context.Context, seen mark) (replicas int, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.cfg.ackTimeout(), jsapi.ErrNoReply)
	defer cancel()
	info, err := s.api.LeaderInfo(ctx, s.name, "", 0)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return 1, s.rewound(seen, 0, "its JetStream stream is gone")
	case err != nil:
		return 0, err
	}
	err = s.compareLog(ctx, seen, info)
	if ctx.Err() != nil && err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrLogRewound) {
		err = context.Cause(ctx)
	}
	return info.Replicas, err
}

// mayAppend is ready for appends, which wait for it as long as for everything else. It gives the connection on which the log
// was looked at.
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
	if session := s.api.Session(); session.Connected() == nil && s.lookedAt(session.Number()) {
		return session, nil
	}
	err := s.beforeAppend(ctx, w, s.ready)
	if err == nil || errors.Is(err, ErrCorrupt) || errors.Is(err, ErrLogRewound) {
		return s.api.Session(), err
	}
	return refused(ErrUnavailable, "whether the log is whole could not be asked", err)
}

// compareLog compares a mark with the log as its leader describes it.
func (s *Store) compareLog(ctx context.Context, seen mark, info jsapi.Info) error {
	if missing := info.Last - info.Messages; missing > 0 {
		if err := s.accountFor(ctx, missing); err != nil {
			return err
		}
	}
	if seen.Position == 0 {
		return nil
	}
	if seen.Store != s.identity {
		return s.rewound(seen, Position(info.Last), "it is another log: the store was made anew under the same name")
	}
	if Position(info.Last) < seen.Position {
		return s.rewound(seen, Position(info.Last), "it ends before that")
	}
	id, err := s.idAt(ctx, seen.Position)
	if err != nil {
		return err
	}
	if id.String() != seen.Commit {
		return s.rewound(seen, Position(info.Last), "it has commit "+id.String()+" there")
	}
	return nil
}

// accountFor says that positions are missing inside the log, unless that many were erased.
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

// idAt gives the id of the commit at a position, also of an erased one.
func (s *Store) idAt(ctx context.Context, position Position) (uuid.UUID, error) {
	c, err := s.place(ctx, position)
	if err != nil || c == nil {
		return uuid.UUID{}, err
	}
	return c.ID, nil
}

func (s *Store) rewound(seen mark, end Position, what string) error {
	return &LogRewoundError{Store: s.name, End: end, Position: seen.Position, CommitID: seen.Commit, Reason: what}
}
