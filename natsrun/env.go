package natsrun

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"
)

// An EnvError is one environment variable that cannot be used. It matches
// [ErrConfig].
type EnvError struct {
	Name  string // the variable
	Value string // what it was set to, without secrets
	Want  string // what is accepted
}

// Error names the variable and what it accepts.
func (e *EnvError) Error() string {
	return fmt.Sprintf("natsrun: environment variable %s is %q: want %s", e.Name, e.Value, e.Want)
}

// Is reports whether target is [ErrConfig].
func (e *EnvError) Is(target error) bool { return target == ErrConfig }

// FromEnv reads the seven variables of the package documentation with lookup,
// which is os.LookupEnv in a program and a map in a test; nil means
// os.LookupEnv. Variables that are not set, or set to nothing, leave their
// field at its default.
//
// The error joins one [EnvError] for each variable that cannot be used.
func FromEnv(lookup func(name string) (value string, set bool)) (*Config, error) {
	if lookup == nil {
		lookup = os.LookupEnv
	}
	env := &environment{lookup: lookup}
	cfg := &Config{
		URL:             read(env, "NATS_URL", wantURL, envURL),
		ServiceName:     read(env, "SERVICE_NAME", wantName, envName),
		LogLevel:        read(env, "LOG_LEVEL", "debug, info, warn or error", envLevel),
		ShutdownTimeout: read(env, "GRACEFUL_SHUTDOWN_TIMEOUT", "a duration above zero, such as 10s", envDuration),
		Sync:            read(env, "JETSTREAM_SYNC", "group, always or none", envSync),
		MaxReconnects:   read(env, "MAX_RECONNECT_ATTEMPTS", "-1 (for ever) or at least 1", envAttempts),
	}
	read(env, "JETSTREAM_ENABLED", "true: everything is stored in JetStream", envTrue)
	if len(env.errs) > 0 {
		return nil, errors.Join(env.errs...)
	}
	return cfg, nil
}

type environment struct {
	lookup func(string) (string, bool)
	errs   []error
}

// read returns what parse makes of a variable, or the zero value and one more
// error.
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
		env.errs = append(env.errs, &EnvError{Name: name, Value: text, Want: want})
		return zero
	}
	return value
}

func envURL(s string) (string, bool)  { return s, validURL(s) }
func envName(s string) (string, bool) { return s, validName(s) }

func envLevel(s string) (slog.Level, bool) {
	var level slog.Level
	err := level.UnmarshalText([]byte(s))
	return level, err == nil
}

func envDuration(s string) (time.Duration, bool) {
	d, err := time.ParseDuration(s)
	return d, err == nil && d > 0
}

// envAttempts refuses 0, which would be the default in a Config and "never" to
// the NATS client.
func envAttempts(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && (n == -1 || n >= 1)
}

func envSync(s string) (Sync, bool) { return Sync(s), Sync(s).selectable() }

func envTrue(s string) (bool, bool) {
	enabled, err := strconv.ParseBool(s)
	return enabled, err == nil && enabled
}
