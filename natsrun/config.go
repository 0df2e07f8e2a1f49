package natsrun

import (
	"cmp"
	"errors"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Sync says when a server writes through to the disk what it has acknowledged.
type Sync string

// The three answers.
const (
	SyncAlways   Sync = "always"   // before every acknowledgement
	SyncInterval Sync = "interval" // every two minutes, the server's default
	SyncUnknown  Sync = "unknown"  // a remote server does not tell
)

// Config holds the settings of [Open], [Run] and [NewLogger]. The zero value,
// and nil, mean the defaults. It is copied, and may be used again.
type Config struct {
	// URL names the servers, separated by commas, with the schemes nats, tls, ws
	// or wss. Defaults to "": an embedded server.
	URL string

	// ServiceName names the program: in the log, on the server's list of
	// connections, as the embedded server. 1 to 64 visible ASCII characters.
	// Defaults to "runnel".
	ServiceName string

	// LogLevel is the level from which on [NewLogger] writes. Defaults to
	// slog.LevelInfo.
	LogLevel slog.Level

	// LogText makes [NewLogger] write text for a terminal in place of JSON.
	// Defaults to false.
	LogText bool

	// ShutdownTimeout bounds [Runtime.Close], and how long [Run] waits for the
	// program once it told it to end. Defaults to 10 seconds.
	ShutdownTimeout time.Duration

	// MaxReconnects is how often in a row the NATS client tries to reconnect to
	// a server before it gives up, and how often in a row [Run] then dials anew.
	// -1 means for ever. Defaults to -1.
	MaxReconnects int

	// DataDir is where the embedded server keeps everything. It is created with
	// permissions for the user alone. Defaults to "./data".
	DataDir string

	// Sync is when the embedded server syncs. [SyncInterval] is about ten times
	// faster and loses up to two minutes of acknowledged messages when the
	// machine stops; the log says so at start. Defaults to [SyncAlways].
	Sync Sync

	// MaxStore is how many bytes the embedded server may store in files before
	// it refuses more. Defaults to 0: what the data directory holds at the start
	// plus 90 % of what is then free on its file system.
	MaxStore int64

	// Logger receives what happens to connections and the embedded server.
	// Defaults to NewLogger(cfg, os.Stderr).
	Logger *slog.Logger

	// Options are added to both connections to URL: TLS, credentials, nkeys,
	// handlers, which are called beside those of this package. They do not apply
	// to the embedded server. Three things they cannot change: no publish is
	// buffered while disconnected, the first connect is not retried, and the
	// closed handler is always called. Defaults to none.
	Options []nats.Option

	// freeSpace is freeSpace of this package unless a test replaces it.
	freeSpace func(dir string) (int64, bool)
}

// resolve returns a copy in which every default is filled in, or all that is
// wrong with the fields, joined.
func (c *Config) resolve() (*Config, error) {
	var out Config
	if c != nil {
		out = *c
	}
	out.ServiceName = cmp.Or(out.ServiceName, defaultName)
	out.ShutdownTimeout = cmp.Or(out.ShutdownTimeout, 10*time.Second)
	out.MaxReconnects = cmp.Or(out.MaxReconnects, -1)
	out.DataDir = cmp.Or(out.DataDir, "./data")
	out.Sync = cmp.Or(out.Sync, SyncAlways)
	if out.freeSpace == nil {
		out.freeSpace = freeSpace
	}
	if err := out.check(); err != nil {
		return nil, err
	}
	if out.Logger == nil {
		out.Logger = NewLogger(&out, os.Stderr)
	}
	return &out, nil
}

func (c *Config) check() error {
	var errs []error
	refuse := func(bad bool, field, value, want string) {
		if bad {
			errs = append(errs, &ConfigError{Field: field, Value: value, Want: want})
		}
	}
	refuse(c.URL != "" && !validURL(c.URL), "URL", redactURL(c.URL), wantURL)
	refuse(!validName(c.ServiceName), "ServiceName", c.ServiceName, wantName)
	refuse(c.ShutdownTimeout < 0, "ShutdownTimeout", c.ShutdownTimeout.String(), "a duration above zero")
	refuse(c.MaxReconnects < -1, "MaxReconnects", strconv.Itoa(c.MaxReconnects), "-1 (for ever) or at least 1")
	refuse(c.Sync != SyncAlways && c.Sync != SyncInterval, "Sync", string(c.Sync), "SyncAlways or SyncInterval")
	refuse(c.MaxStore < 0, "MaxStore", strconv.FormatInt(c.MaxStore, 10), "0 (from the free space) or a number of bytes")
	return errors.Join(errs...)
}

const (
	defaultName = "runnel"
	wantName    = "1 to 64 visible ASCII characters"
)

// validName holds the name to what the server accepts as its own name, what
// stays readable in its logs.
func validName(s string) bool {
	unseen := func(r rune) bool { return r <= ' ' || r > '~' }
	return len(s) >= 1 && len(s) <= 64 && !strings.ContainsFunc(s, unseen)
}
