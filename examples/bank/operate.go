package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/natsrun"
)

// parseRebuild parses the arguments of rebuild.
func parseRebuild(args []string, env environment) (command, error) {
	flags, data := newFlags("rebuild")
	asJSON := flags.Bool("json", false, "print the progress as one JSON object a line")
	rest, help, err := parseFlags(flags, args, env.stdout)
	switch {
	case err != nil || help:
		return nil, err
	case len(rest) != 1 || !slices.Contains(viewNames, rest[0]):
		return nil, usageError("rebuild", fmt.Errorf("which view? There are %s", strings.Join(viewNames, ", ")))
	}
	return func(ctx context.Context) int {
		return env.toTheEnd(ctx, *data, func(ctx context.Context, _ *natsrun.Runtime, bank *Bank) error {
			return bank.rebuild(ctx, rest[0], env.stderr, *asJSON)
		})
	}, nil
}

// rebuild folds a view again, and shows its progress.
func (b *Bank) rebuild(ctx context.Context, name string, w io.Writer, asJSON bool) error {
	view, err := b.views.named(name)
	if err != nil {
		return err
	}
	bar := newProgressBar(w, asJSON)
	var last eventstore.Progress
	err = view.Rebuild(ctx, func(p eventstore.Progress) {
		last = p
		bar.show(p)
	})
	bar.end()
	if err != nil || asJSON {
		return err
	}
	_, err = fmt.Fprintf(w, "rebuild: %d events folded in %.1f s, %.0f events/s: %s serves\n",
		last.Events, last.Elapsed.Seconds(), last.Rate(), name)
	return err
}

// progressBar shows eventstore.Progress. On a terminal it draws a bar over itself, elsewhere it writes a line every
// two seconds, or JSON.
type progressBar struct {
	w     io.Writer
	json  bool
	bar   bool
	every time.Duration
	shown time.Duration // when a line was shown last, since the start
}

func newProgressBar(w io.Writer, asJSON bool) *progressBar {
	p := &progressBar{w: w, json: asJSON, bar: !asJSON && isTerminal(w)}
	if !p.bar && !p.json {
		p.every = 2 * time.Second
	}
	return p
}

// show draws the progress. It ignores errors, because they must not stop the work.
func (p *progressBar) show(now eventstore.Progress) {
	done := now.Position >= now.End
	if !done && now.Elapsed-p.shown < p.every {
		return
	}
	p.shown = now.Elapsed
	switch {
	case p.json:
		line, err := json.Marshal(progressLine{
			Position: now.Position, End: now.End, Events: now.Events, Percent: 100 * now.Fraction(),
			EventsPerSecond: now.Rate(), SecondsLeft: now.Left().Seconds(),
		})
		if err == nil {
			_, _ = fmt.Fprintf(p.w, "%s\n", line)
		}
	case p.bar:
		full := min(int(now.Fraction()*barWidth), barWidth)
		_, _ = fmt.Fprintf(p.w, "\r[%s%s] %s ", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), progressText(now))
	default:
		_, _ = fmt.Fprintln(p.w, progressText(now))
	}
}

// progressLine is the progress as JSON.
type progressLine struct {
	Position        eventstore.Position `json:"position"`
	End             eventstore.Position `json:"end"`
	Events          int64               `json:"events"`
	Percent         float64             `json:"percent"`
	EventsPerSecond float64             `json:"eventsPerSecond"`
	SecondsLeft     float64             `json:"secondsLeft"`
}

func progressText(p eventstore.Progress) string {
	return fmt.Sprintf("%3.0f %% %d events, %.0f events/s, %s left", 100*p.Fraction(), p.Events, p.Rate(), p.Left().Round(time.Second))
}

// end ends the line of the bar.
func (p *progressBar) end() {
	if p.bar {
		_, _ = fmt.Fprintln(p.w)
	}
}

// parseParked parses the arguments of parked.
func parseParked(args []string, env environment) (command, error) {
	flags, data := newFlags("parked")
	replay := flags.String("replay", "", "fold this key of VIEW again")
	discard := flags.String("discard", "", "fold this key of VIEW again without the event that failed")
	rest, help, err := parseFlags(flags, args, env.stdout)
	switch {
	case err != nil || help:
		return nil, err
	case len(rest) > 1 || len(rest) == 1 && !slices.Contains(viewNames, rest[0]):
		return nil, usageError("parked", fmt.Errorf("the views are %s", strings.Join(viewNames, ", ")))
	case (*replay != "" || *discard != "") && len(rest) == 0:
		return nil, usageError("parked", errors.New("name the view of the key"))
	case *replay != "" && *discard != "":
		return nil, usageError("parked", errors.New("--replay or --discard, not both"))
	}
	names := viewNames
	if len(rest) == 1 {
		names = rest
	}
	return func(ctx context.Context) int {
		return env.toTheEnd(ctx, *data, func(ctx context.Context, rt *natsrun.Runtime, bank *Bank) error {
			if *replay != "" || *discard != "" {
				return bank.unpark(ctx, rt, names[0], *replay, *discard)
			}
			return bank.listParked(ctx, names, env.stdout)
		})
	}, nil
}

// listParked prints what is parked.
func (b *Bank) listParked(ctx context.Context, names []string, w io.Writer) error {
	total := 0
	for _, name := range names {
		view, err := b.views.named(name)
		if err != nil {
			return err
		}
		for parked, err := range view.Parked(ctx) {
			if err != nil {
				return err
			}
			total++
			p := parked.Value
			if _, err := fmt.Fprintf(w, "%s %s: %s version %d at position %d, %d events wait since %s: %s\n",
				name, parked.Key, p.Stream, p.Version, p.Position, p.Waiting, p.Since.Format(time.RFC3339), p.Error); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprintf(w, "parked: %d keys\n", total)
	return err
}

// unpark folds a parked key again and waits until that is done. It runs the view meanwhile, in case no other process
// does.
func (b *Bank) unpark(ctx context.Context, rt *natsrun.Runtime, name, replay, discard string) error {
	view, err := b.views.named(name)
	if err != nil {
		return err
	}
	running, done := context.WithCancel(ctx)
	defer done()
	group := rt.NewGroup()
	group.Add(name, view.Run)
	group.Add("unpark", func(ctx context.Context) error {
		defer done()
		if err := view.WaitFor(ctx, 0); err != nil {
			return err
		}
		if replay != "" {
			err = view.Replay(ctx, replay)
		} else {
			err = view.Discard(ctx, discard)
		}
		if err != nil {
			return err
		}
		return awaitAttention(ctx, view)
	})
	if err := group.Run(running); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// awaitAttention waits until no wish is left in the parked keys.
func awaitAttention(ctx context.Context, view readModel) error {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		wished := false
		for parked, err := range view.Parked(ctx) {
			if err != nil {
				return err
			}
			wished = wished || parked.Value.Wish != ""
		}
		if !wished {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
