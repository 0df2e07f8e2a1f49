package natsrun

import (
	"cmp"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Sync says when a server writes through to the disk what it has acknowledged.
type Sync string

// The four answers. [SyncGroup] is about what the stores and buckets of this
// toolkit acknowledge and read, see the package documentation; the server itself
// syncs every two minutes then.
const (
	SyncGroup   Sync = "group"   // before every acknowledgement, once for all that wait
	SyncAlways  Sync = "always"  // before every acknowledgement, one after the other
	SyncNone    Sync = "none"    // every two minutes, and nothing waits for it
	SyncUnknown Sync = "unknown" // a remote server does not tell
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
	// permissions for the user alone. A relative one is that of the working
	// directory when the server is started, wherever the program goes then.
	// Defaults to "./data".
	DataDir string

	// Sync is when what the embedded server stores is synced to disk. [SyncGroup]
	// is refused where it cannot be had. [SyncNone] is about ten times faster than
	// [SyncAlways] and loses up to two minutes of acknowledged messages when the
	// machine stops; the log says so at start. Defaults to SyncGroup where it can be
	// had, which is on Linux 5.8 or later, on amd64 and arm64, with DataDir on ext4,
	// XFS or Btrfs, and to SyncAlways elsewhere.
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

	// openDisk is openDisk of this package unless a test replaces it.
	openDisk func(dir string) (disk, error)
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
	if out.freeSpace == nil {
		out.freeSpace = freeSpace
	}
	if out.openDisk == nil {
		out.openDisk = openDisk
	}
	if err := out.check(); err != nil {
		return nil, err
	}
	if out.URL == "" {
		dir, err := filepath.Abs(out.DataDir)
		if err != nil {
			return nil, &ConfigError{Field: "DataDir", Value: out.DataDir, Want: "an absolute path here, since " + err.Error()}
		}
		out.DataDir = dir
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
	refuse(c.Sync != "" && !c.Sync.selectable(), "Sync", string(c.Sync), "SyncGroup, SyncAlways or SyncNone")
	refuse(c.MaxStore < 0, "MaxStore", strconv.FormatInt(c.MaxStore, 10), "0 (from the free space) or a number of bytes")
	return errors.Join(errs...)
}

// selectable reports whether an embedded server can be told to sync like that.
func (s Sync) selectable() bool { return s == SyncGroup || s == SyncAlways || s == SyncNone }

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
