package projectiontest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/defaults"
	"github.com/runnel-go/runnel/internal/literal"
	"github.com/runnel-go/runnel/projection"
)

// Config holds the settings of Check. A nil *Config and the zero Config mean the defaults. A negative Timeout fails the
// test.
type Config struct {
	// Store is the configuration of the store, with its upcasters and codec. Defaults to none.
	Store *eventstore.Config
	// View is the configuration of the view. Defaults to a Heartbeat of 100 milliseconds and a StandBy of 500
	// milliseconds.
	View *projection.Config
	// Timeout bounds the time of the view for one history. Defaults to 30 seconds.
	Timeout time.Duration
}

// withDefaults returns a copy in which Timeout and View are set. It refuses a negative Timeout. The View's defaults let
// another runner soon follow one that ends amid a build.
func (c *Config) withDefaults() (Config, error) {
	full := defaults.Of(c)
	view := defaults.Of(full.View)
	if view.Heartbeat == 0 && view.StandBy == 0 {
		view.Heartbeat, view.StandBy = 100*time.Millisecond, 500*time.Millisecond
	}
	full.View = &view
	return full, defaults.Set("Timeout", &full.Timeout, 30*time.Second)
}

const (
	// fewer divides rapid's number of runs, because each history makes and breaks several views.
	fewer = 10
	// shrinkTime bounds shrinking.
	shrinkTime = 10 * time.Second
)

// Check tries random histories. It fails the test with a short history for which the view depends on the way in
// which it was folded: see the package documentation. The prototypes are for opening the store. Check makes a
// tenth of the runs that -rapid.checks and RAPID_CHECKS ask for, so 10, in a second or two.
func Check[V any](
	t testing.TB, events []eventstore.Event, histories *rapid.Generator[[]Commit], cfg *Config, rules ...projection.Rule[V],
) {
	t.Helper()
	if found := Search(t, events, histories, cfg, rules...); found != nil {
		t.Fatalf("projectiontest: %s", found)
	}
}

// Counterexample is a short history for which the view depends on the way in which it was folded.
type Counterexample struct {
	Why   string   // the difference
	Steps []string // the steps that led to it
}

// String describes the counterexample.
func (c *Counterexample) String() string {
	return "a view depends on how it was folded: " + c.Why + "\nafter\n\t" + strings.Join(c.Steps, "\n\t")
}

// Search is Check that returns the counterexample, or nil, instead of failing the test. Use it to show that a
// planted mistake is found.
func Search[V any](
	t testing.TB, events []eventstore.Event, histories *rapid.Generator[[]Commit], cfg *Config, rules ...projection.Rule[V],
) *Counterexample {
	t.Helper()
	full, err := cfg.withDefaults()
	if err != nil {
		t.Fatalf("projectiontest: %v", err)
	}
	server := eventstoretest.NewServer(t, eventstoretest.Memory())
	proxy := server.Proxy(t)
	proxy.Duplicate(true)
	l := &lab[V]{js: server.JetStream(t), doubled: proxy.JetStream(t), events: events, rules: rules, cfg: full}
	wanted, tried := max(runs(t)/fewer, 1), 0
	var worst trial
	var found string
	rapid.Check(t, func(rt *rapid.T) {
		if tried++; tried > wanted || found != "" {
			return
		}
		worst = drawTrial(rt, histories)
		found = l.try(t.Context(), worst)
	})
	if found == "" {
		return nil
	}
	worst, found = shrink(worst, found, func(c trial) string { return l.try(t.Context(), c) })
	return &Counterexample{Why: found, Steps: worst.steps()}
}

// runs returns the number of runs that rapid makes.
func runs(t testing.TB) int {
	t.Helper()
	all, err := strconv.Atoi(flag.Lookup("rapid.checks").Value.String())
	if err != nil {
		t.Fatalf("projectiontest: how many runs there are: %v", err)
	}
	return all
}

// disturbance is an event for a view's runner after a commit.
type disturbance int

const (
	none    disturbance = iota // the next commit may come into the same batch
	await                      // the view has folded it before the next comes
	crash                      // the runner ends, and another goes on
	rebuild                    // the view is rebuilt while it serves
)

func (d disturbance) String() string {
	return [...]string{
		"", "the view folds it", "the runner ends and another goes on", "the view is rebuilt",
	}[d]
}

// trial is one random history, with a disturbance after each of its commits.
type trial struct {
	history []Commit
	then    []disturbance
}

func drawTrial(rt *rapid.T, histories *rapid.Generator[[]Commit]) trial {
	c := trial{history: histories.Draw(rt, "history")}
	for range c.history {
		c.then = append(c.then, rapid.SampledFrom([]disturbance{none, await, crash, rebuild}).Draw(rt, "then"))
	}
	return c
}

func (c trial) steps() (steps []string) {
	for i, commit := range c.history {
		steps = append(steps, commit.String())
		if c.then[i] != none {
			steps = append(steps, c.then[i].String())
		}
	}
	return steps
}

// without returns the trial without a commit.
func (c trial) without(i int) trial {
	return trial{history: slices.Delete(slices.Clone(c.history), i, i+1), then: slices.Delete(slices.Clone(c.then), i, i+1)}
}

// calmer returns the trial without the disturbance after a commit.
func (c trial) calmer(i int) trial {
	c.then = slices.Clone(c.then)
	c.then[i] = none
	return c
}

// shrink leaves out commits and disturbances as long as the trial fails.
func shrink(worst trial, found string, try func(trial) string) (trial, string) {
	until := time.Now().Add(shrinkTime)
	accept := func(c trial) bool {
		if time.Now().After(until) {
			return false
		}
		why := try(c)
		if why != "" {
			worst, found = c, why
		}
		return why != ""
	}
	for changed := true; changed; {
		changed = false
		for i := 0; i < len(worst.history); {
			switch {
			case accept(worst.without(i)):
				changed = true
			case worst.then[i] != none && accept(worst.calmer(i)):
				changed = true
				i++
			default:
				i++
			}
		}
	}
	return worst, found
}

// try folds a history in all ways, and returns their difference, or "".
func (l *lab[V]) try(ctx context.Context, c trial) (why string) {
	ctx, cancel := context.WithTimeoutCause(ctx, l.cfg.Timeout, errors.New("the view did not get there in time"))
	defer cancel()
	ctx, failed := context.WithCancelCause(ctx)
	defer failed(nil)
	err := l.open(ctx, func(ctx context.Context, store *eventstore.Store) error {
		disturbed, rebuilt, err := l.disturbed(ctx, failed, store, c)
		if err != nil {
			return err
		}
		straight, err := l.straight(ctx, store)
		if err != nil {
			return err
		}
		why = differ(straight, disturbed, "a view that ran meanwhile")
		if why == "" {
			why = differ(straight, rebuilt, "that view, rebuilt")
		}
		return nil
	})
	if err != nil {
		return errors.Join(context.Cause(ctx), err).Error()
	}
	return why
}

func differ[V any](straight, got map[string]V, what string) string {
	if diff := literal.Diff(lines(straight), lines(got)); diff != "" {
		return fmt.Sprintf("- one straight fold, + %s:\n%s", what, diff)
	}
	return ""
}

// disturbed runs a view while a history is stored, and returns its documents, before and after it was rebuilt.
func (l *lab[V]) disturbed(
	ctx context.Context, failed context.CancelCauseFunc, store *eventstore.Store, c trial,
) (before, after map[string]V, err error) {
	doubled, err := eventstore.Open(ctx, l.doubled, l.name(), l.events, l.cfg.Store)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, doubled.Close()) }()
	r := &runner[V]{}
	if err := l.start(ctx, r, doubled, failed); err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, r.end()) }()
	reader, err := projection.Open(ctx, store, "view", 1, l.cfg.View, l.rules...)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	for i, commit := range c.history {
		position, err := appendTo(ctx, store, commit)
		if err != nil {
			return nil, nil, err
		}
		switch c.then[i] {
		case none:
		case await:
			err = reader.WaitFor(ctx, position)
		case crash:
			if err = r.end(); err == nil {
				err = l.start(ctx, r, doubled, failed)
			}
		case rebuild:
			err = reader.Rebuild(ctx, nil)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	if before, err = l.read(ctx, store, reader); err != nil {
		return nil, nil, err
	}
	if err = reader.Rebuild(ctx, nil); err != nil {
		return nil, nil, err
	}
	after, err = l.read(ctx, store, reader)
	return before, after, err
}
