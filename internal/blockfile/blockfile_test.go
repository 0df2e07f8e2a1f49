package blockfile

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
)

func TestWhatWasCutOffIsGoneWhenTheServerStarts(t *testing.T) {
	server := eventstoretest.NewServer(t)
	js := server.JetStream(t)
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "docs", Subjects: []string{"docs.>"}, MaxMsgsPerSubject: 1})
	require.NoError(t, err)
	for i := range 6 {
		_, err := js.Publish(t.Context(), fmt.Sprint("docs.", i%3), []byte("data"))
		require.NoError(t, err)
	}
	server.Stop()
	records, err := Records(server.StoreDir(), "docs")
	require.NoError(t, err)
	var subjects []string
	for _, r := range records {
		if !r.Mark {
			subjects = append(subjects, fmt.Sprint(r.Sequence, r.Subject))
		}
	}
	require.Equal(t, []string{"1docs.0", "2docs.1", "3docs.2", "4docs.0", "5docs.1", "6docs.2"}, subjects)

	require.NoError(t, CutBehind(server.StoreDir(), "docs", 4))
	server.Restart()
	stream, err := server.JetStream(t).Stream(t.Context(), "docs")
	require.NoError(t, err)
	require.Equal(t, uint64(4), stream.CachedInfo().State.LastSeq)
	require.Equal(t, uint64(3), stream.CachedInfo().State.Msgs, "what message 5 had replaced is back")

	require.Error(t, CutBehind(server.StoreDir(), "docs", 7))
	_, err = Records(server.StoreDir(), "none")
	require.Error(t, err)
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{})
	f.Add(append([]byte{31, 0, 0, 0x80, 7: 0, 11: 0x40, 20: 1, 22: 's'}, make([]byte, 8)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		records, err := parse(data)
		if err != nil {
			return
		}
		sum := int64(0)
		for _, r := range records {
			require.Equal(t, sum, r.Offset)
			sum += r.Length
		}
		require.Equal(t, int64(len(data)), sum)
	})
}
