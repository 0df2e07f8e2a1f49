package eventstore

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

// The length of a header is the one part of a record that the server's checksum does not cover. Wherever a flipped bit
// puts the end of the header, a commit does not pass for another program's message.
func TestACommitWithAnotherHeaderLengthIsNotForeign(t *testing.T) {
	payload := "\x93\x01\xce\x12\x34\x56\x78\xc4\x03abc"
	for _, header := range []string{
		"Nats-Expected-Last-Subject-Sequence: 12\r\n",
		"Nats-Batch-Id: 1\r\nNats-Batch-Sequence: 1\r\nNats-Expected-Last-Subject-Sequence: 12\r\n",
		"Nats-Batch-Commit: 1\r\nNats-Batch-Id: 1\r\nNats-Batch-Sequence: 2\r\n",
		"Nats-Expected-Last-Sequence: 12\r\n",
	} {
		record := "NATS/1.0\r\n" + header + "\r\n" + payload
		for n := range len(record) + 1 {
			var parsed nats.Header
			if n > 0 {
				var err error
				if parsed, err = nats.DecodeHeadersMsg([]byte(record[:n])); err != nil {
					continue // which is damage
				}
			}
			require.False(t, isForeign(parsed, []byte(record[n:])), "%q and %q", record[:n], record[n:])
		}
	}
	require.True(t, isForeign(nil, []byte(payload)))
	require.True(t, isForeign(nats.Header{"Trace": {"1"}}, []byte(payload)))
}
