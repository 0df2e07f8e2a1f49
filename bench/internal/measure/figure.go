// Package measure takes figures: it lets several ways of doing the same thing take turns, and keeps the
// results.
//
//	Figure ─ Case ─ round 1: way A, way B, way C      so that what the machine does meanwhile
//	              ─ round 2: way A, way B, way C      meets all ways alike
//	              ─ ...
//	              median, least and most of each way, and the ratios that have a bar
//
// Each result is a file of its own, so that an interrupted run goes on with the figure that it was at.
package measure

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"time"
)

// Figure is what is measured from one set-up.
type Figure struct {
	Name  string // of its file, and what -only matches
	Title string
	About string // explains the figure on the page
	Take  func(ctx context.Context, run *Run) error
}

// Case is one thing that is done in several ways.
type Case struct {
	Name string
	Unit string // of a way's figure: "commits/s", "ms", "allocations"
	Ways []Way
	Bars []Bar
}

// Way is one way to do it.
type Way struct {
	Name string
	// Round does it for a while, and returns how often it did so or how long each time took.
	Round func(ctx context.Context) (Sample, error)
}

// Sample is the result of one round: Count things in Time, the Times of single things, or a Value that is not a
// time.
type Sample struct {
	Count int
	Time  time.Duration
	Times []time.Duration
	Value float64
}

// Bar is the least ratio of two ways that is accepted. A ratio says how many times as good the first way is: as
// fast, as frequent, as small.
type Bar struct {
	Way, Against string
	Of           Quantity
	AtLeast      float64
}

// Quantity names a figure of a way.
type Quantity string

// The quantities that a bar may be about.
const (
	Median Quantity = "median"
	P99    Quantity = "p99"
)

// Scale is the size of a measurement.
type Scale struct {
	Name   string
	Rounds int
	Round  time.Duration // how long a round of one way goes on, if no number bounds it
	Tries  int           // how often a case is measured until no bar is missed by more than a third
}

// Run is the taking of one figure.
type Run struct {
	Scale  Scale
	Result Result

	cleanups []func() error
	say      func(format string, args ...any)
}

// Cleanup calls f when the figure is taken, the last one first.
func (r *Run) Cleanup(f func() error) { r.cleanups = append(r.cleanups, f) }

// TempDir returns a folder that is removed when the figure is taken.
func (r *Run) TempDir() (string, error) {
	dir, err := os.MkdirTemp("", "runnel-bench-")
	if err == nil {
		r.Cleanup(func() error { return os.RemoveAll(dir) })
	}
	return dir, err
}

// Step reports what is being prepared.
func (r *Run) Step(format string, args ...any) { r.say("  "+format, args...) }

// Take runs a figure's set-up and cases, on a heap without garbage of the figure before.
func Take(ctx context.Context, f Figure, scale Scale, say func(format string, args ...any)) (result Result, err error) {
	run := &Run{Scale: scale, say: say, Result: Result{Figure: f.Name, Title: f.Title, About: f.About, Scale: scale.Name, Begun: time.Now().UTC()}}
	defer func() {
		for _, cleanup := range slices.Backward(run.cleanups) {
			err = errors.Join(err, cleanup())
		}
	}()
	runtime.GC()
	if err := f.Take(ctx, run); err != nil {
		return Result{}, fmt.Errorf("%s: %w", f.Name, err)
	}
	run.Result.Took = time.Since(run.Result.Begun)
	return run.Result, nil
}

// Case measures a case and adds it to the result. With several tries, a case whose bar is missed by more than a
// third is measured again. Then the try whose worst bar is best counts.
func (r *Run) Case(ctx context.Context, c Case) error {
	best := CaseResult{}
	worst := math.Inf(-1)
	for range max(1, r.Scale.Tries) {
		got, err := r.measure(ctx, c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		if share := got.worstShare(); share > worst {
			best, worst = got, share
		}
		if worst >= tolerated {
			break
		}
	}
	r.say("  %s", best)
	r.Result.Cases = append(r.Result.Cases, best)
	return nil
}

// measure lets the ways take turns. The first round warms them up and does not count.
func (r *Run) measure(ctx context.Context, c Case) (CaseResult, error) {
	samples := make([][]Sample, len(c.Ways))
	for round := range r.Scale.Rounds + 1 {
		for i, way := range c.Ways {
			sample, err := timed(ctx, way)
			if err != nil {
				return CaseResult{}, fmt.Errorf("%s: %w", way.Name, err)
			}
			if round > 0 {
				samples[i] = append(samples[i], sample)
			}
		}
	}
	return summarize(c, samples), nil
}

func timed(ctx context.Context, way Way) (Sample, error) {
	begun := time.Now()
	sample, err := way.Round(ctx)
	if sample.Time == 0 {
		sample.Time = time.Since(begun)
	}
	return sample, err
}
