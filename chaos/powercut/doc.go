// Powercut cuts the power of a machine that runs an event store, again and again, and checks what the disk has
// kept.
//
// # How the power is cut
//
// The server's data lies on a file system in an image file, and that file on another file system that can copy a
// file at one instant (reflink):
//
//	outer.img   xfs, mounted      holds inner.img
//	inner.img   ext4, mounted     holds the data directory of an embedded server, under load
//
// A reflink of inner.img holds the content of the disk at that instant. It lacks the data that the server has
// written and the kernel has not yet sent to the disk. The copy is mounted, which replays ext4's journal as the
// start of a machine does, and a server is started on it. The load goes on meanwhile, as if nothing had
// happened.
//
// # What runs
//
// Sixteen goroutines append to streams of their own. Three goroutines write transactions over twenty streams.
// The amounts of a transaction add up to zero, so half of one shows in every sum. A view folds everything. Each
// acknowledgement is noted.
//
// The server runs in five modes. In the first it syncs always. In the second its host syncs for all waiting
// callers at the same time (group sync). In the third it leaves the syncing to the kernel. In the fourth the
// kernel is made to write everything back every 25 ms. In the last the kernel writes the KV buckets back so
// often, and the log once. There the mark and the view know more than the log.
//
// # What the program checks
//
//	acknowledged   each commit that was acknowledged before the cut must be there, at its position
//	torn           commits of transactions whose end is missing: the store must not show them
//	half           a read of the log, a load or the view shows a part of a transaction; never allowed
//	reported       the store or the view refuses the log, because its mark or checkpoint knows more
//	silent         a mark or checkpoint on that disk knows more than the log, and nothing says so; never allowed
//
// Then a transaction is written and must reach the view. With SyncAlways, and with group sync, no acknowledged
// commit may be missing, and nothing may be reported. Otherwise acknowledged commits are lost that the kernel
// had not written; the table says how many.
//
// # Running it
//
// It needs Linux, root, loop devices, and the programs mkfs.xfs (package xfsprogs), mkfs.ext4 and cp:
//
//	make powercut CUTS=100
//
// The program has a flag -mode for one mode alone. It ends with 0 if all bars were met, and with 1 if not. If
// the machine cannot do it, it ends with 3 and says what is missing. It unmounts and removes its file systems,
// even if it is interrupted.
package main
