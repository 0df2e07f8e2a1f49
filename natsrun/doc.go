// Package natsrun gives a program its NATS: a server embedded in the process,
// or connections to the cluster that a URL names. The same program runs both
// ways, and the environment decides.
//
//	NATS_URL empty                       NATS_URL=nats://a:4222,nats://b:4222
//
//	program                              program
//	  commands ──┐ in-process              commands ──┐ TCP or TLS, reconnecting
//	  reads    ──┤ pipes                   reads    ──┤
//	             ▼                                    ▼
//	  embedded server, no open port        cluster
//	  DataDir/LOCK       one process at a time
//	  DataDir/jetstream  the server's files
//
// A [Runtime] holds two connections. Commands carries what somebody waits for:
// appends, requests, and their acknowledgements. Reads carries replays and
// listings. A connection delivers in order, so an acknowledgement that shared
// its connection with a replay would stand in line behind it.
//
// # Typical use
//
// A program's main reads its settings, ends on a signal, and leaves the rest
// to [Run]:
//
//	func main() {
//		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
//		defer stop()
//		cfg, err := natsrun.FromEnv(os.LookupEnv)
//		if err == nil {
//			err = natsrun.Run(ctx, cfg, program)
//		}
//		if err != nil {
//			fmt.Fprintln(os.Stderr, err)
//			os.Exit(1)
//		}
//	}
//
//	func program(ctx context.Context, rt *natsrun.Runtime) error {
//		group := rt.NewGroup()
//		group.Add("balances", balances.Run)
//		group.Add("http", serve)
//		return group.Run(ctx)
//	}
//
// Signals are the program's own business: this package installs no handler.
// A test, or a tool that runs once, calls [Open] and [Runtime.Close] itself.
//
// # Environment
//
//	NATS_URL                   servers, separated by commas; empty: embedded server
//	SERVICE_NAME               name of the connections and in the log; "runnel"
//	LOG_LEVEL                  debug, info, warn or error; info
//	GRACEFUL_SHUTDOWN_TIMEOUT  Go duration above zero; 10s
//	MAX_RECONNECT_ATTEMPTS     -1 (for ever) or at least 1; -1
//	JETSTREAM_ENABLED          true; false is refused, nothing here runs without
//	JETSTREAM_SYNC             group, always or none: how the embedded server syncs; group where it can be had, else always
//
// A variable that is set to nothing counts as not set. [FromEnv] reports all
// that is wrong at once. Everything else, the data directory and credentials
// among it, is set in [Config] by the program.
//
// # Durability
//
// An embedded server writes what it acknowledges to files, which a kill of the
// process does not take away and a power cut does, until they are synced:
//
//	[SyncAlways]   the server syncs each message before it acknowledges it, one after the other
//	[SyncGroup]    the server does not sync; who waits for a store or a bucket waits for a sync that is shared
//	[SyncNone]     the server syncs every two minutes, and nobody waits
//
// With SyncGroup, package eventstore passes an acknowledgement on once the file
// system of the data directory was synced (syncfs(2)) after it came, one sync for
// all who wait at that time; package kv does the same. Until then nobody is given
// what was written either: loads and readers of the log, live ones too, and so
// views, reactors and sagas, wait before they pass anything on that is not known
// to be on disk. So with one writer it is about as fast as SyncAlways, with 16
// three times, with 64 more than five times. Stores and buckets find out by
// themselves, from the connection, on what server they are. Elsewhere, also behind
// a URL, they wait for nothing and nothing is promised.
//
// It can be had on Linux 5.8 or later, on amd64 and arm64, with the data directory
// on ext4, XFS or Btrfs: older kernels do not tell that writing back has failed,
// and other file systems may not reach a disk or hide what failed below them.
//
// Once a sync has failed nothing more is acknowledged, and only what is known to
// be on disk is read: the kernel drops what it could not write, and tells of it
// once. [Health.Ready] is false then. End the program, look after the disk, and
// mount the file system anew before the next start, since the kernel's memory may
// show what the disk does not have.
//
// # Guarantees
//
//   - Two processes never run a server on one data directory: a file lock is
//     held from before the server starts until after it has stopped, and the
//     operating system releases it when the process dies. See Caveats for the
//     systems that have no such lock.
//   - The embedded server opens no port. By default nothing that a store or a
//     bucket acknowledges, or gives to read, is lost by a power cut. [Durability]
//     says in words what a deployment survives.
//   - The embedded server may fill the disk to 90 % of what was free when it
//     started and then refuses to store, with its own error. A full disk would
//     make it switch JetStream off altogether.
//   - A publish on a connection that the client knows to be down fails at once. The
//     NATS client would otherwise keep it and store it after the reconnect, long
//     after the caller was told that it failed.
//   - Close waits for acknowledgements that are outstanding on Commands and
//     Reads, drains Reads, then Commands, and then stops the server.
//   - A user name, password or token in a URL is never printed.
//
// # Errors
//
//	ErrConfig            a setting is wrong                    *EnvError, *ConfigError
//	ErrDataDir           the data directory cannot be used     *DataDirError
//	ErrDataDirInUse      ... because a process holds it        *DataDirError
//	ErrEmbedded          the embedded server did not start     *EmbeddedError
//	ErrConnect           no connection, or a server refused    *ConnectError
//	ErrNoJetStream       ... it has no JetStream               *ConnectError
//	ErrServerVersion     ... its version has known faults      *VersionError in *ConnectError
//	ErrConnectionClosed  the client gave up for good           *ConnectionClosedError
//	ErrUnfinished        something did not end in time         *UnfinishedError
//	ErrSync              the disk did not take what was written *SyncError
//	ErrShutdown          the cause of a context: told to stop  none
//
// A group member's failure is a [MemberError]; if the member panicked, it wraps
// a [PanicError].
//
// # Concurrency
//
// A Runtime is safe for use by several goroutines. A [Group] is filled by one
// goroutine and then run. Each function documents what it waits for. The
// goroutines that a call starts have ended when it returns, but for those that
// an [UnfinishedError] names.
//
// # A client that is closed for good
//
// The NATS client reconnects by itself after a network failure or a restart of
// the server. Some errors of the server make it close instead, and then it stays
// closed: a protocol line over 4 KB, two refused authentications in a row, the
// configured attempts used up. Run notices, cancels the program's context with
// a [ConnectionClosedError] as cause, waits for the program, dials anew and
// runs it again. A program that uses Open asks [Runtime.Health].
//
// # Caveats
//
//   - On Windows, Solaris, AIX and other systems without flock(2) there is no
//     lock: keeping a second process away is then the operator's duty. A lock
//     file that exists or not would be wrong after every crash.
//   - A lock on a network file system is as good as that file system's flock.
//     JetStream should not be put on one.
//   - Where the free space cannot be asked for (every system but Linux, macOS,
//     FreeBSD and DragonFly BSD), MaxStore defaults to the server's own limit.
//   - A client cannot know how often a remote server syncs; the grade then says
//     "unknown".
//   - With SyncGroup, what a program publishes to the embedded server past the
//     stores and buckets of this toolkit, or reads past them, is on disk with the
//     next sync only, after two minutes at the latest. [Runtime.Sync] waits for it.
//   - A file system is synced as a whole. What other programs write to that of the
//     data directory delays acknowledgements, and a failure to write it counts as
//     ours: give the data directory a file system of its own.
//   - The embedded server is one server. It is no member of a cluster.
//   - Go cannot end a goroutine from outside. A program or member that ignores
//     its context is named in an UnfinishedError and goes on until the process
//     ends.
package natsrun
