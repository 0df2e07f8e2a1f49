// Package eventstoretest starts a real NATS server with JetStream for a test, and breaks it in many ways.
//
// There is no fake of the store in Runnel. A server starts inside the test's process in about ten milliseconds,
// and a test that passes against it passes against NATS. Most tests need one line:
//
//	func TestDeposit(t *testing.T) {
//		js := eventstoretest.JetStream(t)
//		...
//	}
//
// The server, its connection and its files are gone when the test ends. The package depends on nats-server and
// its client only, so it can also test code that uses NATS without Runnel.
//
// # Servers
//
// There are five, all on 127.0.0.1, all with free ports that a restart keeps:
//
//	JetStream          one server, in process, no port    0.01 s   the usual test
//	NewServer          one server, in process and TCP     0.01 s   restarts, users and permissions, limits
//	NewCluster         three servers, or more             0.5 s    replicas, elections, loss of a node
//	NewProcess         one server in its own process      1 s      kill -9, a server that freezes, or retires
//	NewProcessCluster  three of them, or more             3 s      what one node learns late of another
//
// [Options] edits the server's own options, [SyncAlways] makes it sync each write, [Memory] replaces the disk
// by memory, and [Quota] makes the disk full. Stop and Restart keep port and files, and the clients find their
// way back.
//
// # Three replicas
//
// RUNNEL_TEST_CLUSTER in the environment holds the addresses, with commas in between, of a cluster whose servers give
// each user name an account of its own (NewProcessCluster with "--accounts"). Then JetStream and NewServer start no
// server. Each call has an account of its own on that cluster, in which every stream has three replicas whatever its
// configuration says. A whole package of tests runs so on replicas, and each connection is to another node than the
// one before it:
//
//	JetStream, Connect, Proxy      lead to the account
//	Stop, Restart                  cut the account's connections, and let them come back
//	options                        start a cluster of three servers with these options, for this test
//	StoreDir, NATS, Bubble         skip the test
//
// The streams are deleted when the test ends. Package eventstoretest's own TestPackagesOnACluster is the example.
//
// # Faults
//
// A [Proxy] stands in front of any of them and understands the frames that pass:
//
//	client                     proxy                      server
//	  | -- PUB events.a inbox -> | -- DropRequests, ------> |   not stored
//	  |                          |    Silence               |
//	  | <- MSG inbox ----------- | <- DropAcks, ----------- |   stored, nobody hears of it
//	  |                          |    DropReplies           |
//	  | <= MSG ----------------- | <- Duplicate ----------- |   delivered twice
//	  | <- INFO ---------------- | <- RewriteInfo --------- |   another version, another limit
//	  |                          |                          |
//	  | <----------------------> | Delay, Cut and Heal <--> |   slow, or away
//
// This test stores a message whose publisher never hears of it. Every append must be able to distinguish it
// from a message that was not stored:
//
//	func TestStoredWithoutAnAnswer(t *testing.T) {
//		srv := eventstoretest.NewServer(t)
//		proxy := srv.Proxy(t)
//		js := proxy.JetStream(t)
//		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"events.>"}})
//		require.NoError(t, err)
//
//		proxy.DropAcks(1)
//		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
//		defer cancel()
//		_, err = js.Publish(ctx, "events.a", []byte("hello"))
//		require.ErrorIs(t, err, context.DeadlineExceeded)
//
//		stream, err := js.Stream(t.Context(), "EVENTS")
//		require.NoError(t, err)
//		require.Equal(t, uint64(1), stream.CachedInfo().State.Msgs)
//	}
//
// # Time
//
// [Bubble] runs a test with the fake clock of [testing/synctest], server
// included: a timeout of an hour passes at once.
//
// # Guarantees
//
//   - A constructor returns a ready server: clients can connect, and a cluster has elected its leader.
//   - Everything ends with the test that made it, in the right order, goroutines
//     included; goleak finds nothing.
//   - A connection from this package never sends a message later that it could not send at once. So a publish
//     that failed while disconnected is not stored afterwards.
//   - A fault takes effect with the next frame that the proxy reads. Frames
//     that pass keep their order.
//   - Acknowledgements are known by their content, so the client's inbox prefix
//     does not matter.
//
// # Errors
//
// If the kit itself fails, it fails the test, with a message that begins with "eventstoretest:". A proxy that
// reads something else than the NATS protocol also fails the test.
//
// # Concurrency
//
// The methods of [Server], [Cluster] and [Proxy] may be called from several goroutines at once. The methods of
// [Process] may not. Call methods that can fail a test on that test's goroutine. A proxy calls one predicate at
// a time; a predicate may switch faults.
//
// # Caveats
//
//   - A server in the test's process stops in good order: it hands over its
//     leadership and writes what it holds. Only [Process.Kill] is a crash, and
//     no test here is a power cut: the kernel keeps what it was given.
//   - The proxy reads plain text, not TLS or WebSocket, and stands between
//     clients and servers, not between the nodes of a cluster.
//   - The servers of a cluster share one process, its processors and its disk. It
//     shows what happens, not how fast.
//   - Routes of a cluster and ports after a restart are freed for a moment
//     before they are used. Another process could take one; the test then fails
//     at the start of the server.
//   - [NewProcess] runs the go command, which must be there.
package eventstoretest
