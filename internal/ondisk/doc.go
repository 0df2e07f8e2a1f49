// Package ondisk keeps what a server has not synced yet from those who would act on it.
//
// A server in the same process may acknowledge what it has written and not synced, and leave the syncing to its host, who
// does it once for all who wait at the same time (group sync, package natsrun). Then a message is in the stream, and
// readable, before it is on disk, and a power cut may still take it away. So whoever passes something on, an
// acknowledgement or what was read, waits here before:
//
//	append  -> acknowledged, sequence 7 -> Stored(7) -> the caller is told
//	read    -> message 7                -> Wait(7)   -> the caller gets it
//
// A connection knows its server, and through it the [Disk]; so nobody has to be told, and a connection to any other server
// waits for nothing and is promised nothing.
package ondisk
