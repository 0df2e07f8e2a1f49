// Cluster runs the example bank on real NATS servers, breaks the servers, the links and the bank in many ways, and
// checks that nothing was lost, that nothing was applied twice, and that the bank says truly whether it works.
//
// # What runs
//
//	clients --HTTP--> bank-1 .. bank-3 --links--> node-1 .. node-3 --links-- each other
//
// A node is a nats-server in a process of its own, alone or one of three. A bank is a process "bank serve". A link is
// a TCP proxy inside the rig. There is one from each bank to each node, and one between each two nodes in each
// direction. A link can be cut, fall silent, or be slow. The other banks, to which payments go, are a server inside
// the rig.
//
// Clients deposit, withdraw, transfer and order payments. Each write has an idempotency key. A client repeats a write
// under its key, at one bank after another, until it knows the outcome. Some clients read what they wrote, by its
// position, from any bank. One client stays with each bank, so that each bank always has something to do.
//
// # A case
//
// A case is a fault, a number of nodes and a number of banks:
//
//	start everything -> load for a while -> begin the fault -> hold it -> end it
//	    -> load goes on until all is well again -> the clients stop -> the payments end -> check
//
// # What is checked
//
//	lost      a write was acknowledged, and the log does not have it at the position that the client was told
//	twice     the log has a key more often than one request writes it
//	ghost     a write was rejected, and the log has it
//	stale     a read by position has an older version of the account than the write
//	versions  the versions of a stream are not 1, 2, 3 and so on
//	readers   the toolkit's reader shows another log than the messages in the stream
//	views     the documents of a view are not the fold of the log
//	payments  a payment has not ended, or the other bank's books disagree
//	sums      money has appeared or disappeared
//	ended     a bank ended by itself
//	ready     /readyz was wrong for more than two seconds: it said yes and no write went through that bank, or it
//	          said no though writes went through
//	late      the first write after the fault came later than the fault allows, or a bank that was started during
//	          the fault did not serve in time
//
// The messages are read and decoded by this program itself, which shares no code with the toolkit for that.
//
// # Running it
//
// It needs Unix. Without root, the cases that need a small file system are left out.
//
//	make chaos          all cases, then a table
//	make chaos-begins   how long lists, watches and starts take if nothing is wrong
//	make chaos-long     one cluster for an hour with a fault every 20 seconds
//
// The flags are -only, a regular expression of the cases, -some, a number of cases that are chosen, and -list. With
// -times=false, only what must never happen makes a case wrong, and not what came late: for a busy machine. The
// counts are added to tally.json, by revision. The program ends with 0 if all cases were right, and with 1 if not. It
// keeps the folder of a case that was wrong, with the logs of all processes.
package main
