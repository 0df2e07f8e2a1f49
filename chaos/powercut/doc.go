// Powercut cuts the power of a machine that runs an event store, again and again, and looks at what the disk has kept.
//
// # How the power is cut
//
// The server's data lies on a file system in an image file, and that file on another file system that can copy a file at
// one instant (reflink):
//
//	outer.img   xfs, mounted      holds inner.img
//	inner.img   ext4, mounted     holds the data directory of an embedded server, under load
//
// A reflink of inner.img is what the disk holds at that instant: what the server has written and the kernel has not yet
// sent to the disk is not in it. The copy is mounted, which replays ext4's journal as the start of a machine does, and a
// server is started on it. The load goes on meanwhile, as if nothing had happened.
//
// # What runs
//
// Sixteen goroutines append to streams of their own. Three write transactions over twenty streams, whose amounts are nothing
// in sum, so that half of one is seen wherever amounts are added up. A view folds all of it. Each acknowledgement is noted.
//
// That is done with a server that syncs always, with one whose host syncs for all who wait at the same time (group sync),
// with one that leaves it to the kernel, with a kernel that is made to write everything back every 25 ms, and with one that
// writes back the KV buckets so often and the log once: there the mark and the view know more than the log.
//
// # What is looked for
//
//	acknowledged   each commit that was acknowledged before the cut: is it there, and where it was?
//	torn           commits of transactions whose end is missing: the store must not show them
//	half           a transaction of which a read of the log, the loads of its streams or the view show a part; never allowed
//	reported       the store or the view refuses the log, because its high-water mark or the view's checkpoint knows more
//	silent         a mark or checkpoint on that disk knows more than the log has, and nobody says so; never allowed
//
// Then a transaction is written and must reach the view. With SyncAlways, and with group sync, nothing acknowledged may be
// missing, and nothing reported. Without, what was acknowledged is lost as far as the kernel had not written it; the table says how much.
//
// # Running it
//
// It needs Linux, root, loop devices, and the programs mkfs.xfs (package xfsprogs), mkfs.ext4 and cp:
//
//	make powercut CUTS=100
//
// The program itself has a flag -mode for one mode alone. It ends with 0 when all bars were met, with 1 when not, and with 3
// when the machine cannot do it, and says what is missing. It unmounts and removes what it made, also when it is
// interrupted.
package main
