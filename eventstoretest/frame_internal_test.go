package eventstoretest

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadFrameTakesEachOperationWhole(t *testing.T) {
	for wire, want := range map[string]struct {
		subject, payload string
		reply            bool
	}{
		"PUB a 2\r\nhi\r\n":                        {"a", "hi", false},
		"pub a inbox 2\r\nhi\r\n":                  {"a", "hi", true},
		"HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n":   {"a", "hi", false},
		"HPUB a r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n": {"a", "hi", true},
		"MSG a 1 4\r\n\r\n\r\n\r\n":                {"a", "\r\n\r\n", false},
		"MSG a 1 r 0\r\n\r\n":                      {"a", "", true},
		"HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n": {"a", "hi", false},
		"HMSG a 1 r 12 12\r\nNATS/1.0\r\n\r\n\r\n": {"a", "", true},
		"MSG\t a  1\t9 \r\nPING\r\nPUB\r\n":        {"a", "PING\r\nPUB", false},
	} {
		t.Run(wire, func(t *testing.T) {
			r := bufio.NewReader(strings.NewReader(wire + "PING\r\n"))
			f, err := readFrame(r)
			require.NoError(t, err)
			require.Equal(t, wire, string(f.raw))
			require.Equal(t, want.subject, f.subject())
			require.Equal(t, want.payload, string(f.payload()))
			require.Equal(t, want.reply, f.hasReply())
			f, err = readFrame(r)
			require.NoError(t, err)
			require.Equal(t, "PING", f.op)
			_, err = readFrame(r)
			require.ErrorIs(t, err, io.EOF)
		})
	}
}

func TestReadFrameRefusesWhatIsNotTheProtocol(t *testing.T) {
	for _, wire := range []string{
		"PUB\r\n", "PUB 0\r\n\r\n", "PUB a x\r\n", "PUB a -1\r\n", "PUB a 99999999999\r\n",
		"HPUB a 1\r\nx\r\n", "HPUB a 5 2\r\nhi\r\n", "MSG a 2\r\nhi\r\n", "PUB a 2\r\nh", "PIN",
	} {
		t.Run(wire, func(t *testing.T) {
			_, err := readFrame(bufio.NewReader(strings.NewReader(wire)))
			require.Error(t, err)
			require.NotErrorIs(t, err, io.EOF)
		})
	}
}

func TestOnlyAPublishAcknowledgementIsAnAck(t *testing.T) {
	for payload, want := range map[string]bool{
		`{"stream":"EVENTS","seq":1}`:                                  true,
		`{"stream":"EVENTS","domain":"d","seq":1,"duplicate":true}`:    true,
		`{"stream":"EVENTS","seq":3,"batch":"b","count":3}`:            true,
		`{"error":{"code":400,"err_code":10071},"stream":"E","seq":0}`: false,
		`{"error":{"code":400},"stream":"E","seq":1}`:                  false,
		`{"type":"io.nats.jetstream.api.v1.x","stream":"E","seq":1}`:   false,
		`{"amount":1}`: false,
		``:             false,
	} {
		f := frame{op: "MSG", args: []string{"inbox", "1", "0"}, body: []byte(payload)}
		require.Equal(t, want, f.isAck(), payload)
	}
	delivered := frame{op: "MSG", args: []string{"events.a", "1", "$JS.ACK.x", "0"}, body: []byte(`{"stream":"E","seq":1}`)}
	require.False(t, delivered.isAck())
}

func TestMatchesFollowsTheWildcardsOfNATS(t *testing.T) {
	for _, c := range []struct {
		pattern, subject string
		want             bool
	}{
		{"a.b", "a.b", true},
		{"a.b", "a.c", false},
		{"a.b", "a", false},
		{"a", "a.b", false},
		{"*", "a", true},
		{"*", "a.b", false},
		{"a.*.c", "a.b.c", true},
		{"a.*", "a", false},
		{">", "a", true},
		{">", "a.b", true},
		{"a.>", "a.b.c", true},
		{"a.>", "a", false},
		{"a.>", "b.c", false},
	} {
		require.Equal(t, c.want, matches(c.pattern, c.subject), "%s against %s", c.pattern, c.subject)
	}
}

// Parsing never panics, and a frame comes out byte for byte as the reader took it in.
func FuzzReadFrame(f *testing.F) {
	f.Add([]byte("INFO {\"version\":\"2.15.2\"}\r\nPING\r\n"))
	f.Add([]byte("PUB a 2\r\nhi\r\nHPUB a r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"))
	f.Add([]byte("MSG a 1 27\r\n{\"stream\":\"EVENTS\",\"seq\":1}\r\n"))
	f.Add([]byte("PUB 2\r\nhi\r\n"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		r := bufio.NewReader(bytes.NewReader(wire))
		var out []byte
		for {
			fr, err := readFrame(r)
			if err != nil {
				break
			}
			out = append(out, fr.raw...)
			if fr.isPublish() || fr.isMessage() {
				require.LessOrEqual(t, len(fr.payload()), len(fr.raw))
				require.NotEmpty(t, fr.subject())
				_, _ = fr.isAck(), fr.hasReply()
			}
		}
		require.True(t, bytes.HasPrefix(wire, out))
	})
}
