package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/natsrun"
)

// parseReplay parses the arguments of replay.
func parseReplay(args []string, env environment) (command, error) {
	flags, data := newFlags("replay")
	from := flags.String("from", "", "begin with what was stored at this time or after, as 2026-01-31 or 2026-01-31T12:00:00Z")
	types := flags.String("type", "", "only events of these types, with commas between them")
	account := flags.String("account", "", "only events of this account")
	rest, help, err := parseFlags(flags, args, env.stdout)
	switch {
	case err != nil || help:
		return nil, err
	case len(rest) > 0:
		return nil, usageError("replay", fmt.Errorf("surplus argument %q", rest[0]))
	}
	var options []eventstore.ReplayOption
	if *from != "" {
		begin, err := parseTime(*from)
		if err != nil {
			return nil, usageError("replay", err)
		}
		options = append(options, eventstore.FromTime(begin))
	}
	if *types != "" {
		options = append(options, eventstore.Types(strings.Split(*types, ",")...))
	}
	if *account != "" {
		options = append(options, eventstore.OfStream(eventstore.StreamID{Category: category, ID: *account}))
	}
	return func(ctx context.Context) int {
		return env.toTheEnd(ctx, *data, func(ctx context.Context, _ *natsrun.Runtime, bank *Bank) error {
			return bank.replay(ctx, env.stdout, options...)
		})
	}, nil
}

func parseTime(text string) (time.Time, error) {
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("--from %q: as 2026-01-31 or 2026-01-31T12:00:00Z", text)
	}
	return t, nil
}

// replay prints events of the log, one on a line.
func (b *Bank) replay(ctx context.Context, w io.Writer, options ...eventstore.ReplayOption) error {
	_, err := b.store.Replay(ctx, func(r eventstore.Recorded) error {
		events, err := r.Decode()
		if err != nil {
			return err
		}
		for _, event := range events {
			if _, err := fmt.Fprintf(w, "%d %s %s v%d %s %+v\n",
				r.Position, r.Time.Format(time.RFC3339), r.Stream, r.Version(), r.Type(), event); err != nil {
				return err
			}
		}
		return nil
	}, options...)
	return err
}
