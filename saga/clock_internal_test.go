package saga

import (
	"cmp"
	"net"
	"regexp"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// wrongYear dials a server whose clock is wrong by so many years.
type wrongYear struct{ by atomic.Int64 }

var saidYear = regexp.MustCompile(`"ts":"[0-9]{4}`)

func (w *wrongYear) Dial(network, address string) (net.Conn, error) {
	c, err := net.Dial(network, address)
	return &wrongConn{c, w}, err
}

type wrongConn struct {
	net.Conn
	wrong *wrongYear
}

func (c *wrongConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	for _, at := range saidYear.FindAllIndex(p[:n], -1) {
		year, _ := strconv.ParseInt(string(p[at[1]-4:at[1]]), 10, 64) // the pattern has digits there
		copy(p[at[1]-4:at[1]], strconv.FormatInt(year+c.wrong.by.Load(), 10))
	}
	return n, err
}

// A clock that is wrong makes a saga wait. Otherwise a payment that was answered in time would be given back.
func TestADeadlineHasPassedOnceBothClocksSaySo(t *testing.T) {
	dialer := new(wrongYear)
	js, err := jetstream.New(eventstoretest.NewServer(t).Connect(t, nats.SetCustomDialer(dialer)))
	require.NoError(t, err)
	definition, err := Define("wait", Await[struct{ N int }]("answer").Within(time.Hour))
	require.NoError(t, err)
	store, err := eventstore.Open(t.Context(), js, "bank", Events(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	m, err := Open(t.Context(), store, definition, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })

	const year = 360 * 24 * time.Hour
	for by, want := range map[int]struct {
		passed bool // a deadline of a minute ago
		ahead  time.Duration
	}{
		0:  {passed: true},
		-1: {},
		1:  {passed: true, ahead: year},
	} {
		dialer.by.Store(int64(by))
		require.Eventually(t, func() bool {
			skew, _ := store.Health(t.Context())
			return cmp.Compare(skew, 0) == -by
		}, 10*time.Second, 10*time.Millisecond)
		ago := time.Now().Add(-time.Minute)
		require.Equal(t, want.passed, m.passed(ago), by)
		require.False(t, m.passed(time.Now().Add(time.Minute)), by)
		require.GreaterOrEqual(t, time.Until(m.ahead()), want.ahead-time.Minute, by)
		if want.passed {
			continue
		}
		in := instance[struct{ N int }]{id: "1", status: Status{State: StateWaiting, Steps: []StepStatus{{Name: "answer", Deadline: ago}}}}
		require.ErrorIs(t, (&runner[struct{ N int }]{m: m}).claim(t.Context(), &in), errNotOurs, by)
	}
}
