package eventstore

import "time"

// Progress says how far long work on the log has come.
type Progress struct {
	Begin    Position // after which the work began
	Position Position // up to where the work is done
	End      Position // where the work ends, as far as is known now
	Commits  int64    // done so far
	Events   int64    // in them
	Elapsed  time.Duration
}

// Fraction is how much of the positions is done, from 0 to 1.
func (p Progress) Fraction() float64 {
	switch {
	case p.Position >= p.End:
		return 1
	case p.Position <= p.Begin:
		return 0
	}
	return float64(p.Position-p.Begin) / float64(p.End-p.Begin)
}

// Rate is the events a second so far.
func (p Progress) Rate() float64 {
	if p.Elapsed <= 0 {
		return 0
	}
	return float64(p.Events) / p.Elapsed.Seconds()
}

// Left is how long the rest takes at the same rate, or 0 if that cannot be said yet.
func (p Progress) Left() time.Duration {
	done := p.Fraction()
	if done <= 0 {
		return 0
	}
	return time.Duration(float64(p.Elapsed) * (1 - done) / done)
}

// progressInterval is the time between reports of progress. People read them, so they need not come more often.
const progressInterval = 250 * time.Millisecond

// tracker counts what long work has done and reports it from time to time.
type tracker struct {
	progress Progress
	begin    time.Time
	reported time.Time
	report   func(Progress) // nil for no reports
}

func newTracker(end Position, report func(Progress)) *tracker {
	now := time.Now()
	return &tracker{progress: Progress{End: end}, begin: now, reported: now, report: report}
}

// commit counts one commit.
func (t *tracker) commit(c *Commit) { t.passed(c.Position, c.Len()) }

// passed notes that the work has come to a position, and counts the commit there if events of it were worked on.
func (t *tracker) passed(position Position, events int) {
	t.progress.Position = position
	if events > 0 {
		t.progress.Commits++
		t.progress.Events += int64(events)
	}
	if t.report == nil {
		return
	}
	if now := time.Now(); now.Sub(t.reported) >= progressInterval {
		t.reported = now
		t.progress.Elapsed = now.Sub(t.begin)
		t.report(t.progress)
	}
}

// done reports the end, and returns it.
func (t *tracker) done() Progress {
	t.progress.Elapsed = time.Since(t.begin)
	if t.report != nil {
		t.report(t.progress)
	}
	return t.progress
}
