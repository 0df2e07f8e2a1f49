// Package natsrun connects a program to NATS: to a server inside the process, or to the servers of a URL. The same
// program runs both ways, and its environment decides which.
//
//	NATS_URL empty                       NATS_URL=nats://a:4222,nats://b:4222
//
//	program                              program
//	  commands ──┐ pipes in the            commands ──┐ TCP or TLS, reconnecting
//	  reads    ──┤ process                 reads    ──┤
//	             ▼                                    ▼
//	  embedded server, no open port        remote servers
//	  DataDir/LOCK       one process at a time
//	  DataDir/jetstream  the server's files
//
// A [Runtime] holds two connections. Commands carries appends, requests and their acknowledgements. Reads carries
// replays and listings. A connection delivers in order, so on a single connection an acknowledgement would wait
// behind a replay.
//
// # Typical use
//
// A program's main reads the settings, ends on a signal, and calls [Run]:
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
// This package installs no signal handler. A test, or a tool that runs once, calls [Open] and [Runtime.Close] itself.
//
// # Environment
//
//	NATS_URL                   servers, separated by commas; empty: embedded server
//	SERVICE_NAME               name of the connections; "runnel"
//	GRACEFUL_SHUTDOWN_TIMEOUT  Go duration above zero; 10s
//	MAX_RECONNECT_ATTEMPTS     -1 (without end) or at least 1; -1
//	JETSTREAM_SYNC             group, always or none; group if the system supports it, else always
//
// An empty variable counts as not set. [FromEnv] reports all wrong variables at once. The program sets all other fields
// of [Config] itself, such as the data directory, credentials and the logger.
//
// # Durability
//
// An embedded server writes what it acknowledges to files. A kill of the process does not lose them, but a power cut
// does, until they are synced to disk:
//
//	[SyncAlways]   the server syncs each message before it acknowledges it, one after the other
//	[SyncGroup]    the server does not sync; stores and buckets wait for a sync that they share
//	[SyncNone]     the server syncs every two minutes, and nothing waits
//
// With SyncGroup, packages eventstore and kv wait for the disk. They pass an acknowledgement on after a sync of the
// file system (syncfs(2)) that began later than the acknowledgement. One sync serves all callers that wait at the same
// time. Reads wait as well: loads, live readers, views, reactors and sagas pass on nothing that is not on disk. With
// one writer, SyncGroup is about as fast as SyncAlways, with 16 writers three times as fast, with 64 seven times.
// Stores and buckets recognize such a server by their connection. On other servers they wait for nothing and promise
// nothing.
//
// SyncGroup needs Linux 5.8 or later, on amd64 or arm64, and a data directory on ext4, XFS or Btrfs. Older kernels
// do not report failed writes. Other file systems may not reach a disk, or do not report failures below them.
//
// After a failed sync nothing is acknowledged any more, and only what is known to be on disk can be read. The
// reason is that the kernel drops what it could not write and reports that once. [Health.Ready] returns false then.
// End the program, check the disk, and mount the file system again before the next start. Otherwise the kernel may
// show data that the disk does not have.
//
// # Guarantees
//
//   - Two processes never run a server on one data directory. A file lock is held from before the server starts
//     until after it has stopped, and the operating system releases it if the process dies. Caveats names the
//     systems that have no such lock.
//   - The embedded server opens no port. By default a power cut loses nothing that a store or a bucket has
//     acknowledged or returned. [Durability] says in words which failures a deployment survives.
//   - The embedded server uses at most 90 % of the disk space that was free when it started. Then it refuses
//     messages with its own error. On a full disk it would switch JetStream off.
//   - A publish fails at once on a connection that is down. Otherwise the NATS client would store the message after the
//     reconnect, long after the caller was told that it failed.
//   - [Runtime.Close] waits for outstanding acknowledgements, drains Reads, then Commands, and then stops the server.
//   - No error and no log line shows the user name, the password or the token of a URL.
//
// # Errors
//
// A sentinel stands for each thing that a program can do something about:
//
//	ErrConfig             a setting is wrong: start with other settings
//	ErrDataDirInUse       another process holds the data directory: wait, or end that process
//	ErrConnect            no connection: try again
//	ErrUnsupportedServer  no JetStream, or a version with known faults: upgrade or configure the server
//	ErrConnectionClosed   the client gave up for good: Run connects again
//	ErrUnfinished         something still runs after its time: end the process
//	ErrSync               the disk did not take what was written: end the process and check the disk
//	ErrShutdown           only the cause of a context: the program is told to end
//
// All other errors have no sentinel. Their texts say what to do.
//
// # Concurrency
//
// A Runtime is safe for concurrent use. One goroutine fills a [Group] and runs it. Each function says for what it
// waits. When a call returns, the goroutines that it has started have ended, unless an error that matches
// [ErrUnfinished] names them.
//
// # A connection that is closed for good
//
// The NATS client reconnects after a network failure or a restart of the server. After some errors it closes the
// connection instead: after a protocol line over 4 KB, after two refused authentications in a row, and after
// MaxReconnects tries. [Run] then cancels the program's context, waits for the program, connects again and runs it
// again. A program that uses Open itself calls [Runtime.Health].
//
// # Caveats
//
//   - There is no lock on Windows, Solaris, AIX and other systems without flock(2). The operator must keep a second
//     process away. A lock file without flock would stay after every crash.
//   - A lock on a network file system is as good as its flock. JetStream should not store on one.
//   - The free space is known on Linux, macOS, FreeBSD and DragonFly BSD. On other systems MaxStore defaults to the
//     server's own limit.
//   - A client cannot know how often a remote server syncs. [Durability] then says "unknown".
//   - With SyncGroup, a message that a program publishes itself reaches the disk with the next sync, after two
//     minutes at the latest. [Runtime.Sync] waits for it.
//   - A file system is synced as a whole. If other programs write to it, acknowledgements take longer, and a failure of
//     their writes counts as a failed sync. So give the data directory a file system of its own.
//   - The embedded server is a single server. It cannot join a cluster.
//   - Go cannot end a goroutine from outside. A program or a member that ignores its context goes on until the process
//     ends.
package natsrun
