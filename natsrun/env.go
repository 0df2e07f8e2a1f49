package natsrun

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

// FromEnv returns a Config with the settings of five environment variables, which the package documentation lists.
// lookup reads a variable: os.LookupEnv in a program, a map in a test. A nil lookup means os.LookupEnv. A variable that
// is not set, or is empty, leaves its field at the zero value.
//
// If variables cannot be used, FromEnv returns an error that matches [ErrConfig] and names all of them.
func FromEnv(lookup func(name string) (value string, set bool)) (*Config, error) {
	if lookup == nil {
		lookup = os.LookupEnv
	}
	env := &environment{lookup: lookup}
	cfg := &Config{
		URL:             read(env, "NATS_URL", wantURL, envURL),
		ServiceName:     read(env, "SERVICE_NAME", wantName, envName),
		ShutdownTimeout: read(env, "GRACEFUL_SHUTDOWN_TIMEOUT", "a duration above zero, such as 10s", envDuration),
		Sync:            read(env, "JETSTREAM_SYNC", "group, always or none", envSync),
		MaxReconnects:   read(env, "MAX_RECONNECT_ATTEMPTS", wantReconnects, envAttempts),
	}
	if len(env.errs) > 0 {
		return nil, errors.Join(env.errs...)
	}
	return cfg, nil
}

// An environment reads variables and collects the errors.
type environment struct {
	lookup func(string) (string, bool)
	errs   []error
}

// read returns the parsed value of a variable. If the value cannot be used, it adds an error and returns the zero
// value.
func read[T any](env *environment, name, want string, parse func(string) (T, bool)) T {
	var zero T
	text, _ := env.lookup(name)
	if text == "" {
		return zero
	}
	value, ok := parse(text)
	if !ok {
		if name == "NATS_URL" {
			text = redactURL(text)
		}
		env.errs = append(env.errs, fmt.Errorf("%w: environment variable %s is %q: want %s", ErrConfig, name, text, want))
		return zero
	}
	return value
}

func envURL(s string) (string, bool)    { return s, validURL(s) }
func envName(s string) (string, bool)   { return s, validName(s) }
func envSync(s string) (SyncMode, bool) { return SyncMode(s), SyncMode(s).selectable() }

func envDuration(s string) (time.Duration, bool) {
	d, err := time.ParseDuration(s)
	return d, err == nil && d > 0
}

// envAttempts refuses 0, because 0 means the default in a Config and "never" to the NATS client.
func envAttempts(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && (n == -1 || n >= 1)
}
