package eventstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/control"
	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/kvstream"
)

// A log that lost its end does not show it: the server uses the positions again, and acknowledged commits are gone
// without a trace. So the highest position that was seen is kept beside the log, in the store's control bucket:
//
//	bucket bank_control
//	key mark        {"store":"0198...","position":1200,"commit":"0198..."}    only ever raised, by compare-and-set
//	key accepted    the mark that was forgotten last, see AcceptRewind
const (
	markKey     = "mark"
	acceptedKey = "accepted"
	// markInterval is how long after a use of the store the log is looked at, and the mark raised. Twice this interval
	// is less than the second within which a replaced log must be noticed.
	markInterval = 500 * time.Millisecond
	// markClose is how long Close waits for the last raise of the mark.
	markClose = time.Second
	// kvOperation is the header of a deletion in a bucket.
	kvOperation = "KV-Operation"
	// markTries is how often one raise is tried if others raise the mark at the same time.
	markTries = 5
)

// mark is the value under markKey.
type mark struct {
	Store    string   `json:"store"`    // its identity
	Position Position `json:"position"` // the highest that was acknowledged or read
	Commit   string   `json:"commit"`   // the id of the commit there
}

// marked is a mark and its revision in the bucket. The zero value means that there is no mark.
type marked struct {
	mark
	revision uint64
	instead  []byte // what stands in the place of the mark, or nil
}

// noMark says that another program has written over the mark of a store.
func noMark(store string) string {
	return fmt.Sprintf("key %s of bucket %s holds something else than a mark, because another program wrote there, "+
		"so nobody knows how far the log went: look at what it has (Config.Salvage)", markKey, control.Bucket(store))
}

// readMark reads the mark from the bucket's leader.
func readMark(ctx context.Context, api *jsapi.Client, store string) (marked, error) {
	bucket := kvstream.Name(control.Bucket(store))
	if err := api.Permitted(ctx, "STREAM.MSG.GET."+bucket); err != nil {
		return marked{}, err
	}
	msg, err := api.LeaderLast(ctx, bucket, kvstream.Subject(control.Bucket(store), markKey))
	switch {
	case errors.Is(err, jsapi.ErrNotFound), errors.Is(err, jetstream.ErrStreamNotFound):
		return marked{}, nil
	case err != nil:
		return marked{}, err
	}
	m := marked{revision: msg.Sequence}
	if msg.Header.Get(kvOperation) == "" && !m.parse(msg.Data) { // with the header, the mark was forgotten
		m = marked{revision: msg.Sequence, instead: append([]byte{}, msg.Data...)}
	}
	return m, nil
}

// parse reads a mark, and reports whether it is one.
func (m *mark) parse(data []byte) bool {
	if json.Unmarshal(data, m) != nil || m.Position == 0 || m.Store == "" {
		return false
	}
	_, err := uuid.Parse(m.Commit)
	return err == nil
}

// newest returns the mark with the highest position.
func newest(marks []mark) mark {
	var highest mark
	for _, m := range marks {
		if m.Position >= highest.Position {
			highest = m
		}
	}
	return highest
}

// marker looks at the log while the store is used, and raises the mark.
type marker struct {
	conn  *conn
	seen  *seen
	trust *trust
	quit  context.CancelFunc // ends the goroutine; nil while it does not run
	owned sync.WaitGroup

	// stored and bucket belong to the goroutine, and to Close after the goroutine has ended.
	stored marked
	bucket jetstream.KeyValue // nil until it is needed
	off    bool               // no permission, or the mark belongs to another store by now
}

func newMarker(s *Store, stored marked, off bool) *marker {
	s.seen.mark.Store(&stored.mark)
	if id, err := uuid.Parse(stored.Commit); err == nil {
		s.seen.newest.Store(&Commit{Position: stored.Position, ID: id})
	}
	return &marker{conn: s.conn, seen: s.seen, trust: s.trust, stored: stored, off: off}
}

// start begins to look at the log.
func (m *marker) start() {
	ctx, quit := context.WithCancel(context.Background())
	m.quit = quit
	m.owned.Go(func() { m.run(ctx) })
}

// run looks at the log once in a while as long as the store is used, until ctx ends.
func (m *marker) run(ctx context.Context) {
	pause := time.NewTimer(markInterval)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.seen.use:
		}
		pause.Reset(markInterval)
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		m.look(ctx)
	}
}

// close ends the goroutine and raises the mark for the last time.
func (m *marker) close() {
	if m.quit == nil {
		return
	}
	m.quit()
	m.owned.Wait()
	if m.off || m.seen.highest() <= m.stored.Position {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), markClose)
	defer cancel()
	m.look(ctx)
}

// look checks that the log has all that was seen, and then raises the mark.
func (m *marker) look(ctx context.Context) {
	if m.conn.api.Session().Connected() != nil {
		return // the log is looked at on the next connection
	}
	// Commits that are seen from now on are left to the next look.
	known := m.seen.known(m.conn.opened.identity)
	next := newest(known)
	if err := m.trust.checkLog(ctx, known); err != nil {
		m.tell(ctx, next, err)
		return
	}
	if m.off || next.Position <= m.stored.Position {
		m.seen.mark.Store(&next)
		return
	}
	// A commit that was read may not be on disk yet. If the mark came to disk first, it would
	// report a loss that did not happen. So wait for the disk.
	err := m.conn.onDisk(ctx, next.Position)
	if err == nil {
		err = m.write(ctx, next)
	}
	if err != nil {
		m.off = m.off || m.denied()
		m.tell(ctx, next, err)
	}
}

// tell logs why the mark was not raised.
func (m *marker) tell(ctx context.Context, next mark, err error) {
	switch {
	case isDamage(err):
		m.seen.distrust()
		m.conn.cfg.Logger.LogAttrs(ctx, slog.LevelError, "log damaged, appends and loads are refused",
			slog.String("store", m.conn.store), slog.Any("error", err))
	case next.Position > m.stored.Position && !errors.Is(ctx.Err(), context.Canceled):
		m.conn.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "high-water mark not raised", slog.String("store", m.conn.store),
			slog.Uint64("position", uint64(next.Position)), slog.Bool("off", m.off), slog.Any("error", err))
	}
}

// write raises the mark by compare-and-set to a commit that was just found in the log, unless another store has raised
// it higher. It leaves a mark alone that was forgotten, or that belongs to another store by now.
func (m *marker) write(ctx context.Context, next mark) error {
	data, err := json.Marshal(next)
	if err != nil {
		return err
	}
	for range markTries {
		if err := m.open(ctx); err != nil {
			return err
		}
		revision, err := m.bucket.Update(ctx, markKey, data, m.stored.revision)
		if err == nil {
			m.stored = marked{mark: next, revision: revision}
			m.seen.mark.Store(&next)
			return nil
		}
		before := m.stored
		have, readErr := readMark(ctx, m.conn.api, m.conn.store)
		switch {
		case readErr != nil:
			return errors.Join(err, readErr)
		case have.instead != nil:
			return errors.New(noMark(m.conn.store)) // the next Open says so, and an operator decides
		case have.revision == 0:
			m.bucket, m.stored = nil, marked{} // it was deleted, and is made anew
			continue
		case !errors.Is(err, jetstream.ErrKeyExists) || have.revision == before.revision:
			return err
		}
		m.stored = have
		if done, err := m.heed(ctx, next); done || err != nil {
			return err
		}
	}
	return errors.New("others raise it all the time")
}

// heed looks at the mark that another store has written. It reports done if that mark is higher than the one to write.
func (m *marker) heed(ctx context.Context, next mark) (done bool, err error) {
	have := m.stored.mark
	switch {
	case have.Position == 0:
		m.off = true
		return false, errors.New("it was forgotten since the store was opened: open it again")
	case have.Store != next.Store:
		m.off = true
		return false, errors.New("it is another store's of the same name now: open it again")
	}
	// It must have been found in the log before it is overwritten.
	m.seen.mark.Store(&have)
	return have.Position >= next.Position, m.trust.checkLog(ctx, m.seen.known(m.conn.opened.identity))
}

// denied reports whether this connection may not use the bucket, so that another try is useless.
func (m *marker) denied() bool {
	bucket := control.Bucket(m.conn.store)
	stream := kvstream.Name(bucket)
	for _, subject := range []string{"$JS.API.STREAM.INFO." + stream, "$JS.API.STREAM.CREATE." + stream, kvstream.Subject(bucket, markKey)} {
		if m.conn.api.Denied(subject) != nil {
			return true
		}
	}
	return false
}

// open binds the control bucket, and makes it if it does not exist.
func (m *marker) open(ctx context.Context) (err error) {
	if m.bucket != nil {
		return nil
	}
	c, name := m.conn, control.Bucket(m.conn.store)
	m.bucket, err = c.js.KeyValue(ctx, name)
	if !errors.Is(err, jetstream.ErrBucketNotFound) {
		return err
	}
	replicas, err := c.replicasNow(ctx)
	if err == nil {
		err = control.Ensure(ctx, c.api, c.store, c.opened.storage, replicas)
	}
	if err != nil {
		return err
	}
	m.bucket, err = c.js.KeyValue(ctx, name)
	return err
}

// checkBucket refuses a bucket that loses the mark. A bucket that is missing is made later.
func (m *marker) checkBucket(ctx context.Context) error {
	if m.off {
		return nil
	}
	stream := kvstream.Name(control.Bucket(m.conn.store))
	err := m.conn.api.Permitted(ctx, "STREAM.INFO."+stream)
	var info jetstream.StreamInfo
	if err == nil {
		info, err = m.conn.api.StreamInfo(ctx, stream)
	}
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, nats.ErrPermissionViolation):
		return nil
	case err != nil:
		return err
	}
	if differences := m.conn.controlDiffers(info.Config); len(differences) > 0 {
		return fmt.Errorf("eventstore: open %s: %w: %s would lose the high-water mark: %s: put that back (nats stream edit %s), or make it anew",
			m.conn.store, ErrSettings, stream, strings.Join(differences, "; "), stream)
	}
	return nil
}

// keep makes the bucket of a store that has none yet, so that Open reports if no mark can be kept. A store opens
// without it.
func (m *marker) keep(ctx context.Context) {
	if m.off || m.stored.revision != 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, markInterval)
	defer cancel()
	bucket := control.Bucket(m.conn.store)
	err := m.conn.api.Permitted(ctx, "STREAM.INFO."+kvstream.Name(bucket))
	if err == nil {
		err = m.open(ctx)
	}
	if err == nil {
		return
	}
	m.off = errors.Is(err, nats.ErrPermissionViolation) || m.denied()
	m.conn.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "the bucket of the high-water mark cannot be made, so a log that loses its end may not be noticed",
		slog.String("store", m.conn.store), slog.String("bucket", bucket), slog.Bool("off", m.off), slog.Any("error", err))
}

// AcceptRewind forgets the mark that made [Open] return the error, so that the store can be opened as it is now. Then
// the commits up to the mark that the log lacks are lost for good. Restore the log from a replica or a backup if you
// can. The mark is kept under another key of its bucket, so that you can find out later what was lost.
//
// It returns an error that matches ErrConflict if the mark has risen since: open the store again and look.
func AcceptRewind(ctx context.Context, js jetstream.JetStream, lost *LogRewoundError) error {
	fail := func(err error) error {
		return fmt.Errorf("eventstore: accept the loss of %s up to position %d: %w", lost.Store, lost.Position, err)
	}
	api, err := jsapi.New(ctx, js)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = api.Close() }() // it only unsubscribes
	have, err := readMark(ctx, api, lost.Store)
	if err != nil {
		return fail(err)
	}
	if have.Position != lost.Position || have.Commit != lost.CommitID {
		return fail(fmt.Errorf("%w: the mark is at position %d, commit %s now", ErrConflict, have.Position, have.Commit))
	}
	if err := forgetMark(ctx, js, lost.Store, have); err != nil {
		return fail(err)
	}
	return nil
}

// forgetMark takes a mark away, if it has not risen since it was read, and keeps it under another key.
func forgetMark(ctx context.Context, js jetstream.JetStream, store string, have marked) error {
	bucket, err := js.KeyValue(ctx, control.Bucket(store))
	if err != nil {
		return err
	}
	data := have.instead
	if data == nil {
		if data, err = json.Marshal(have.mark); err != nil {
			return err
		}
	}
	if _, err := bucket.Put(ctx, acceptedKey, data); err != nil {
		return err
	}
	return bucket.Delete(ctx, markKey, jetstream.LastRevision(have.revision))
}
