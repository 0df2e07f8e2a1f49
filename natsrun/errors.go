package natsrun

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Errors before anything runs. [FromEnv], [Open] and [Run] return them.
var (
	// ErrConfig means that settings cannot be used. The text names each setting, its value without secrets, and the
	// accepted values. [Group.Run] returns it as well. The program must be started with other settings.
	ErrConfig = errors.New("natsrun: invalid configuration")

	// ErrDataDirInUse means that another process, or another [Runtime] of this process, holds the data directory. Open
	// succeeds once the holder has ended.
	ErrDataDirInUse = errors.New("natsrun: data directory is in use")

	// ErrConnect means that no server was reached, or that it refused the connection, for example because of wrong
	// credentials. The error wraps the client's error. A later Open may succeed.
	ErrConnect = errors.New("natsrun: cannot connect")

	// ErrUnsupportedServer means that a server was reached, but has no JetStream or a version with known faults. An
	// operator must configure or upgrade it.
	ErrUnsupportedServer = errors.New("natsrun: server is not supported")
)

// Errors while a program runs and when it ends.
var (
	// ErrConnectionClosed means that the NATS client has closed a connection for good. It is the cause of the program's
	// context, and [Run] returns it when it stops connecting again. The text names the connection. The error wraps the
	// client's last error.
	ErrConnectionClosed = errors.New("natsrun: connection closed for good")

	// ErrShutdown is the cause of the context that ends because the caller's context has ended, or because a [Group]
	// stops its members. It wraps the cause of the caller's context, or the failure for which the group stops.
	ErrShutdown = errors.New("natsrun: shutting down")

	// ErrSync means that the disk did not take what was written. Everything that waits for the disk returns it from
	// then on, because the kernel drops what it could not write and reports that once. The program must end.
	ErrSync = errors.New("natsrun: sync failed")

	// ErrUnfinished means that something has not ended in time and still runs. [Runtime.Close], [Run] and [Group.Run]
	// return it. The text names what still runs.
	ErrUnfinished = errors.New("natsrun: did not end in time")
)

// unfinished returns the error for what still runs after a time. The names stand in the order in which they were
// stopped.
func unfinished(after time.Duration, names ...string) error {
	return fmt.Errorf("%w: still running after %v: %s", ErrUnfinished, after.Round(time.Millisecond), strings.Join(names, ", "))
}

// errLate is returned by a step of a shutdown that has not ended in time.
var errLate = errors.New("time is up")

// errGoexit is the error of a program that ended its goroutine without returning.
var errGoexit = errors.New("natsrun: the program ended its goroutine with runtime.Goexit")

// shutdownCause returns the cause of a context that is cancelled for an orderly shutdown.
func shutdownCause(why error) error { return fmt.Errorf("%w: %w", ErrShutdown, why) }

// stoppedCleanly reports whether a function that was told to end returned for that reason, and not because it failed.
func stoppedCleanly(err error) bool {
	return err == nil || errors.Is(err, context.Canceled) || errors.Is(err, ErrShutdown)
}
