package natsrun

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/runnel-go/runnel/internal/defaults"
)

// SyncMode says when a server writes what it has acknowledged through to the disk.
type SyncMode string

// The modes. With [SyncGroup] the stores and buckets of this toolkit wait for the disk; see the package documentation.
const (
	SyncGroup   SyncMode = "group"   // before an acknowledgement is passed on, once for all callers that wait
	SyncAlways  SyncMode = "always"  // before each acknowledgement, one after the other
	SyncNone    SyncMode = "none"    // every two minutes, and nothing waits for it
	SyncUnknown SyncMode = "unknown" // a remote server does not say; Config.Sync refuses this value
)

// Config holds the settings of [Open] and [Run]. A nil *Config and the zero Config mean the defaults. Open and Run copy
// it. They refuse each value that is not documented here with an error that matches [ErrConfig].
type Config struct {
	// URL names the servers, separated by commas. The schemes are nats, tls, ws and wss. Defaults to "", which means a
	// server inside the process.
	URL string

	// ServiceName names the program in the server's list of connections. It has 1 to 64 visible ASCII characters.
	// Defaults to "runnel".
	ServiceName string

	// ShutdownTimeout limits [Runtime.Close]. It also limits how long [Run] waits for the program after it has told the
	// program to end. Defaults to 10 seconds.
	ShutdownTimeout time.Duration

	// MaxReconnects is how often in a row the NATS client tries to reconnect before it closes the connection, and how
	// often in a row [Run] then connects again. -1 means without end. Defaults to -1.
	MaxReconnects int

	// DataDir is the directory of the embedded server's files. Open creates it with permissions for the current user
	// only. A relative path is resolved when the server starts. Defaults to "./data".
	DataDir string

	// Sync says when the embedded server syncs to disk. Open refuses [SyncGroup] if the system does not support it.
	// [SyncNone] is about ten times as fast as [SyncAlways]. It loses up to two minutes of acknowledged messages if the
	// machine stops, and the log says so at the start. Defaults to SyncGroup if the system supports it: on Linux 5.8 or
	// later, on amd64 and arm64, with DataDir on ext4, XFS or Btrfs. Defaults to SyncAlways on all other systems.
	Sync SyncMode

	// MaxStore is how many bytes the embedded server may store in files. It refuses messages beyond that. Defaults
	// to 0, which means what the data directory holds at the start plus 90 % of the free space of its file system.
	MaxStore int64

	// Logger receives events of the connections and of the embedded server. Defaults to slog.Default().
	Logger *slog.Logger

	// Trace follows the syncs of the embedded server. Defaults to none.
	Trace *Trace

	// Options are added to both connections to URL: TLS, credentials, nkeys, handlers. Handlers are called beside the
	// handlers of this package. The embedded server does not use them. They cannot change three things: no publish is
	// buffered while the connection is down, the first connect is not retried, and the closed handler is always called.
	// Defaults to none.
	Options []nats.Option

	freeSpace func(dir string) (int64, bool)       // the package's freeSpace, unless a test replaces it
	openDisk  func(dir string) (fileSystem, error) // the package's openDisk, unless a test replaces it
}

// withDefaults returns a copy in which every field is set except URL, Sync, MaxStore and Options. It returns one error
// for each field that cannot be used.
func (c *Config) withDefaults() (*Config, error) {
	out := defaults.Of(c)
	out.ServiceName = cmp.Or(out.ServiceName, "runnel")
	out.ShutdownTimeout = cmp.Or(out.ShutdownTimeout, 10*time.Second)
	out.MaxReconnects = cmp.Or(out.MaxReconnects, -1)
	out.DataDir = cmp.Or(out.DataDir, "./data")
	out.Logger = cmp.Or(out.Logger, slog.Default())
	if out.freeSpace == nil {
		out.freeSpace = freeSpace
	}
	if out.openDisk == nil {
		out.openDisk = openDisk
	}
	if err := out.check(); err != nil {
		return nil, err
	}
	if out.URL != "" {
		return &out, nil
	}
	dir, err := filepath.Abs(out.DataDir)
	if err != nil {
		return nil, wrongField("DataDir", out.DataDir, "an absolute path, because "+err.Error())
	}
	out.DataDir = dir
	return &out, nil
}

func (c *Config) check() error {
	var errs []error
	refuse := func(bad bool, field string, value any, want string) {
		if bad {
			errs = append(errs, wrongField(field, value, want))
		}
	}
	refuse(c.URL != "" && !validURL(c.URL), "URL", redactURL(c.URL), wantURL)
	refuse(!validName(c.ServiceName), "ServiceName", c.ServiceName, wantName)
	refuse(c.ShutdownTimeout < 0, "ShutdownTimeout", c.ShutdownTimeout, "a duration above zero")
	refuse(c.MaxReconnects < -1, "MaxReconnects", c.MaxReconnects, wantReconnects)
	refuse(c.Sync != "" && !c.Sync.selectable(), "Sync", c.Sync, "SyncGroup, SyncAlways or SyncNone")
	refuse(c.MaxStore < 0, "MaxStore", c.MaxStore, "0 (from the free space) or a number of bytes")
	return errors.Join(errs...)
}

// wrongField returns the error for a field of a Config that cannot be used. The value must hold no secret.
func wrongField(field string, value any, want string) error {
	return fmt.Errorf("%w: Config.%s is %q: want %s", ErrConfig, field, fmt.Sprint(value), want)
}

// selectable reports whether an embedded server can be told to sync in this mode.
func (m SyncMode) selectable() bool { return m == SyncGroup || m == SyncAlways || m == SyncNone }

const (
	wantName       = "1 to 64 visible ASCII characters"
	wantReconnects = "-1 (without end) or at least 1"
)

// validName reports whether s can be the name of a server and of a connection, and is readable in a log.
func validName(s string) bool {
	unseen := func(r rune) bool { return r <= ' ' || r > '~' }
	return len(s) >= 1 && len(s) <= 64 && !strings.ContainsFunc(s, unseen)
}
