package natsrun

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/runnel-go/runnel/internal/ondisk"
)

// What can be wrong before anything runs.
var (
	// ErrConfig is matched by every error about a setting: [EnvError] from
	// [FromEnv], [ConfigError] from [Open] and [Run].
	ErrConfig = errors.New("natsrun: invalid configuration")

	// ErrDataDir is matched by the [DataDirError] that [Open] returns when the
	// data directory cannot be created, written or locked.
	ErrDataDir = errors.New("natsrun: data directory cannot be used")

	// ErrDataDirInUse is matched, beside [ErrDataDir], when another process, or
	// another [Runtime] of this one, holds the data directory.
	ErrDataDirInUse = errors.New("data directory is in use")

	// ErrEmbedded is matched by the [EmbeddedError] that [Open] returns when the
	// embedded server does not start.
	ErrEmbedded = errors.New("natsrun: embedded server did not start")

	// ErrConnect is matched by the [ConnectError] that [Open] returns when a
	// connection cannot be made or the server is refused.
	ErrConnect = errors.New("natsrun: cannot connect")

	// ErrNoJetStream is matched, beside [ErrConnect], when the server or the
	// account has no JetStream.
	ErrNoJetStream = errors.New("JetStream is not enabled")

	// ErrServerVersion is matched, beside [ErrConnect], when the server's version
	// is refused; the error wraps a [VersionError].
	ErrServerVersion = errors.New("server version is not supported")
)

// What can happen while a program runs and when it ends.
var (
	// ErrConnectionClosed is matched by the cause of the program's context when
	// the NATS client has closed for good, and by the error of [Run] when it gives
	// up dialling anew; both are or wrap a [ConnectionClosedError].
	ErrConnectionClosed = errors.New("natsrun: connection closed for good")

	// ErrShutdown is matched by the cause of a context that ends because the
	// caller's context ended, or because a [Group] stops its members. It wraps
	// the cause of the caller's context, or the failure that made the group stop.
	ErrShutdown = errors.New("natsrun: shutting down")

	// ErrSync is matched by the [SyncError] that ends every wait for the disk once a
	// sync has failed.
	ErrSync = errors.New("natsrun: sync failed")

	// ErrUnfinished is matched by the [UnfinishedError] of [Runtime.Close], [Run]
	// and [Group.Run].
	ErrUnfinished = errors.New("natsrun: did not end in time")
)

// A ConfigError is one field of a [Config] that cannot be used. It matches
// [ErrConfig].
type ConfigError struct {
	Field string // the field's name in Config
	Value string // what it was set to, without secrets
	Want  string // what is accepted
}

// Error names the field and what it accepts.
func (e *ConfigError) Error() string {
	return fmt.Sprintf("natsrun: Config.%s is %q: want %s", e.Field, e.Value, e.Want)
}

// Is reports whether target is [ErrConfig].
func (e *ConfigError) Is(target error) bool { return target == ErrConfig }

// A DataDirError says why a data directory cannot be used. It matches
// [ErrDataDir], and [ErrDataDirInUse] if somebody else holds it.
type DataDirError struct {
	Dir string // the directory, as configured
	PID int    // the process that holds it, as it wrote itself; 0 if not known
	Err error
}

// Error names the directory, who holds it, and what to do.
func (e *DataDirError) Error() string {
	if !errors.Is(e.Err, ErrDataDirInUse) {
		return fmt.Sprintf("natsrun: data directory %s: %v: create it, or make it writable for this process", e.Dir, e.Err)
	}
	holder := "another process"
	if e.PID != 0 {
		holder = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("natsrun: data directory %s: in use by %s: stop it, or choose another directory", e.Dir, holder)
}

// Is reports whether target is [ErrDataDir].
func (e *DataDirError) Is(target error) bool { return target == ErrDataDir }

// Unwrap returns the cause.
func (e *DataDirError) Unwrap() error { return e.Err }

// An EmbeddedError says why the embedded server did not start. It matches
// [ErrEmbedded].
type EmbeddedError struct {
	Dir string // the data directory
	Err error
}

// Error names the data directory and the cause.
func (e *EmbeddedError) Error() string {
	return fmt.Sprintf("natsrun: start embedded server on %s: %v", e.Dir, e.Err)
}

// Is reports whether target is [ErrEmbedded].
func (e *EmbeddedError) Is(target error) bool { return target == ErrEmbedded }

// Unwrap returns the cause.
func (e *EmbeddedError) Unwrap() error { return e.Err }

// A ConnectError says which servers were asked and why there is no connection
// to use. It matches [ErrConnect].
type ConnectError struct {
	URL string // the servers, without secrets
	Err error
}

// Error names the servers and the cause.
func (e *ConnectError) Error() string {
	return fmt.Sprintf("natsrun: connect to %s: %v", e.URL, e.Err)
}

// Is reports whether target is [ErrConnect].
func (e *ConnectError) Is(target error) bool { return target == ErrConnect }

// Unwrap returns the cause.
func (e *ConnectError) Unwrap() error { return e.Err }

// A VersionError is a server whose version is refused. It matches
// [ErrServerVersion].
type VersionError struct {
	Server  string // the server's URL, without secrets
	Version string // what it calls itself
}

// Error names the server, its version, and those to upgrade to.
func (e *VersionError) Error() string {
	return fmt.Sprintf("server %s has version %s: upgrade it to 2.12.15 or later in 2.12, or to 2.14.4 or later", e.Server, e.Version)
}

// Is reports whether target is [ErrServerVersion].
func (e *VersionError) Is(target error) bool { return target == ErrServerVersion }

// A ConnectionClosedError says which connection the NATS client closed for good,
// and its last error. It matches [ErrConnectionClosed].
type ConnectionClosedError struct {
	Name string // the connection's name: the service's, or that with "-reads"
	Err  error  // the client's last error; nil if it was closed without one
}

// Error names the connection and the client's last error.
func (e *ConnectionClosedError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("natsrun: connection %s closed for good", e.Name)
	}
	return fmt.Sprintf("natsrun: connection %s closed for good: %v", e.Name, e.Err)
}

// Is reports whether target is [ErrConnectionClosed].
func (e *ConnectionClosedError) Is(target error) bool { return target == ErrConnectionClosed }

// Unwrap returns the client's last error.
func (e *ConnectionClosedError) Unwrap() error { return e.Err }

// An UnfinishedError names what was told to end and did not in time. It matches
// [ErrUnfinished].
type UnfinishedError struct {
	Names []string      // in the order in which they were told to end
	After time.Duration // how long was waited
}

// Error names what did not end.
func (e *UnfinishedError) Error() string {
	return fmt.Sprintf("natsrun: did not end within %v: %s", e.After.Round(time.Millisecond), strings.Join(e.Names, ", "))
}

// Is reports whether target is [ErrUnfinished].
func (e *UnfinishedError) Is(target error) bool { return target == ErrUnfinished }

// A SyncError says that the file system of the data directory did not take what
// was written to it. It matches [ErrSync]. What the disk has then is not known:
// the kernel drops what it could not write, and tells of it once. So nothing that
// is not known to be on disk is acknowledged or read any more.
type SyncError struct {
	Dir string // the data directory
	Err error
}

// Error names the data directory, the cause, and what to do.
func (e *SyncError) Error() string {
	return fmt.Sprintf("natsrun: sync data directory %s: %v: end the program, look after the disk, "+
		"and mount its file system anew before the next start, so that nothing is read that the disk does not have", e.Dir, e.Err)
}

// Is reports whether target is [ErrSync], or what packages that know no natsrun
// go by.
func (e *SyncError) Is(target error) bool { return target == ErrSync || target == ondisk.ErrFailed }

// Unwrap returns the cause.
func (e *SyncError) Unwrap() error { return e.Err }
