package eventstore

import "fmt"

const (
	// headerRoom is what is kept free for the header, which the server's limit counts too: the expectation takes up to 71
	// bytes and, in a transaction, the batch's id 53, sequence 27 and end 22.
	headerRoom = 256

	// maxRecord is what the server's file store takes, whatever max_payload allows: a record of 32 MiB, with the subject of
	// up to 512 bytes and 34 of its own. Above it the server says that it is full.
	maxRecord = 32<<20 - 1024
)

// limit is how many bytes a commit may have as it is stored. It follows the server's max_payload as of the last connect.
func (s *Store) limit() int64 { return commitLimit(s.api.Session().MaxPayload()) }

func commitLimit(maxPayload int64) int64 { return min(maxPayload, maxRecord) - headerRoom }

// adviseSmaller says what to do about a commit of size bytes, which is above the limit.
func (s *Store) adviseSmaller(size int) string {
	compress := "compress it (Config.CompressAbove), "
	if s.cfg.compressAbove() > 0 {
		compress = ""
	}
	return fmt.Sprintf("the commit has %d bytes and the server takes %d: "+
		"write fewer or smaller events, %skeep documents outside (docs/guides/payloads.md), or raise max_payload",
		size, s.limit(), compress)
}
