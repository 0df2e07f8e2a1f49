package eventstore

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/internal/defaults"
)

// VerifyConfig holds what [Store.Verify] may be given. A nil *VerifyConfig and the zero VerifyConfig give the defaults.
type VerifyConfig struct {
	// MaxFaults bounds the faults that the report lists; all are counted. Defaults to 100.
	MaxFaults int
	// Progress is called from time to time, and at the end, from the goroutine that verifies. Defaults to none.
	Progress func(Progress)
}

// Fault is one thing about the log that does not hold. Its kind is one of
//
//	missing       nothing stands at the positions, and no erasure is recorded for them
//	unreadable    the message there is not a commit: its checksum or its form does not hold
//	version       the commit's versions do not follow those of the stream's commit before it
//	guard         the stream that a transaction guards is at another version there
//	link          a link leads to no earlier commit of the stream; loads find the stream's commits without it
//	duplicate     two commits near each other have the same id
//	count         the server counts more or fewer messages of the stream than there are
//
// [Report.String] has a line for each.
type Fault struct {
	Kind     string
	Stream   StreamID // zero if it is not known
	Position Position // 0 if the fault is not at one position
	Last     Position // of a run of positions that begins at Position; the same as Position for one
	Err      error
}

// line returns the fault for people.
func (f Fault) line() string {
	var where []string
	switch {
	case f.Last > f.Position:
		where = append(where, fmt.Sprintf("positions %d to %d", f.Position, f.Last))
	case f.Position > 0:
		where = append(where, fmt.Sprintf("position %d", f.Position))
	}
	if f.Stream != (StreamID{}) {
		where = append(where, f.Stream.String())
	}
	return fmt.Sprintf("%s: %s: %v", f.Kind, strings.Join(where, ", "), f.Err)
}

// Report is what [Store.Verify] found.
type Report struct {
	Store        string
	End          Position // up to where the log was verified
	Commits      int64    // in the log, with guards; with Torn, Erased, Foreign and damaged ones they are all positions
	Events       int64    // in them
	Streams      int64
	Transactions int64 // whole ones
	Torn         int64 // commits of transactions that a power cut left incomplete; not part of the log, and not a fault
	Erased       int64 // positions whose commits were erased
	Foreign      int64 // messages that another program published; not part of the log, and not a fault
	Elapsed      time.Duration

	Faults []Fault // the first ones
	Found  int64   // how many there are in all; each position of a run counts
}

// fault returns nil if the log holds, and otherwise an error with the first fault.
func (r Report) fault() error {
	if r.Found == 0 {
		return nil
	}
	first := r.Faults[0]
	return &ReadError{Store: r.Store, Reason: ErrCorrupt, Stream: first.Stream, Position: first.Position,
		Err: fmt.Errorf("%d faults, the first: %s", r.Found, first.line())}
}

// String returns the report in lines, for people.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "store %s, verified up to position %d in %v\n", r.Store, r.End, r.Elapsed.Round(time.Millisecond))
	fmt.Fprintf(&b, "%d commits, %d events, %d streams, %d transactions, %d torn commits, %d erased, %d foreign\n",
		r.Commits, r.Events, r.Streams, r.Transactions, r.Torn, r.Erased, r.Foreign)
	if r.Found == 0 {
		b.WriteString("no faults\n")
		return b.String()
	}
	fmt.Fprintf(&b, "%d FAULTS\n", r.Found)
	listed := int64(0)
	for _, f := range r.Faults {
		fmt.Fprintf(&b, "  %s\n", f.line())
		listed += int64(f.Last - f.Position + 1)
	}
	if r.Found > listed {
		fmt.Fprintf(&b, "  and %d more, which are not listed\n", r.Found-listed)
	}
	return b.String()
}

// Verify reads the whole log, up to its end at the time of the call, and checks everything on which the guarantees
// rest:
//
//	every position is there, or recorded as erased, and its checksum holds
//	each stream's versions are 1, 2, 3 and so on, and links lead to earlier commits of the stream
//	transactions are whole or torn, and guards hold
//	commit ids are not used twice near each other
//	the leader counts as many messages of each stream as there are
//
// It goes on after damage, because it is to find all of it. It returns an error that matches ErrCorrupt if something
// does not hold, and ErrSettings for a negative MaxFaults. If it could not go on, it returns why, with what was found
// so far. Verify blocks until the end is reached, and reads about as fast as [Store.All]. Appends meanwhile are
// allowed. With several replicas, one of them returns the log, and the leader returns what that one lacks. The disks of
// the others are not seen. Verify keeps about 150 bytes for each stream, twice that at the end, and makes the leader
// list all subjects, 100,000 at a time.
//
//	the log, unfiltered -> each position -> its stream's versions and links -> the leader's count of each stream
func (s *Store) Verify(ctx context.Context, cfg *VerifyConfig) (Report, error) {
	full := defaults.Of(cfg)
	if err := defaults.Set("MaxFaults", &full.MaxFaults, 100); err != nil {
		return Report{Store: s.conn.store}, fmt.Errorf("eventstore: verify %s: %w: %w", s.conn.store, ErrSettings, err)
	}
	v := verifier{
		conn: s.conn, fetcher: s.fetcher, log: s.log, max: full.MaxFaults, report: Report{Store: s.conn.store}, seed: maphash.MakeSeed(),
		streams: make(map[StreamID]verified), gaps: make(map[StreamID]Fault), ids: make(map[uuid.UUID]struct{}),
	}
	end, err := s.log.end(ctx)
	if err != nil {
		return v.report, err
	}
	progress := newTracker(end, full.Progress)
	err = v.walk(ctx, 0, end, progress)
	if err == nil {
		v.report.End = end
		err = v.compareCounts(ctx, end)
	}
	for _, fault := range v.gaps {
		v.fault(fault)
	}
	v.report.Elapsed = progress.done().Elapsed
	v.report.Streams = int64(len(v.streams))
	if _, guards := v.streams[guardStream]; guards {
		v.report.Streams--
	}
	return v.report, errors.Join(err, v.report.fault())
}
