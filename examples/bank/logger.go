package main

import (
	"fmt"
	"log/slog"
)

// newLogger returns a logger that writes to stderr. It writes records of the level LOG_LEVEL and above, each with the
// name of the service, as text to a terminal and as JSON elsewhere. It returns an error if LOG_LEVEL is not a level.
func (env environment) newLogger(service string) (*slog.Logger, error) {
	opts := &slog.HandlerOptions{}
	if text, _ := env.lookup("LOG_LEVEL"); text != "" {
		var level slog.Level
		if err := level.UnmarshalText([]byte(text)); err != nil {
			return nil, fmt.Errorf("bank: environment variable LOG_LEVEL is %q: want debug, info, warn or error", text)
		}
		opts.Level = level
	}
	var handler slog.Handler = slog.NewJSONHandler(env.stderr, opts)
	if isTerminal(env.stderr) {
		handler = slog.NewTextHandler(env.stderr, opts)
	}
	return slog.New(handler).With("service", service), nil
}
