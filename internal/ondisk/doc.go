// Package ondisk holds back messages that a server has not synced yet, so that nobody acts on them.
//
// A server in the same process may acknowledge a message that it has written and not synced. It leaves the
// syncing to its host, which syncs once for all waiting callers (group sync, package natsrun). Then a message
// is in the stream, and readable, before it is on disk, and a power cut may still take it away. So packages
// eventstore and kv wait here before they pass on an acknowledgement or a message:
//
//	append  -> acknowledged, sequence 7 -> Stored(7) -> the caller is told
//	read    -> message 7                -> Wait(7)   -> the caller gets it
//
// A connection knows its server, and through it the [Disk], so callers need not configure it. A connection to
// any other server waits for nothing, and gets no promise.
package ondisk
