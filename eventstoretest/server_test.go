package eventstoretest_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
)

func TestJetStreamIsOneLine(t *testing.T) {
	js := eventstoretest.JetStream(t)
	events(t, js, 1)
	ack, err := js.Publish(t.Context(), "events.a", []byte("1"))
	require.NoError(t, err)
	require.Equal(t, uint64(1), ack.Sequence)
}

func TestJetStreamRunsInABubbleWithFakeTime(t *testing.T) {
	eventstoretest.Bubble(t, func(t *testing.T) {
		js := eventstoretest.JetStream(t)
		events(t, js, 1)
		started := time.Now()
		_, err := js.Publish(t.Context(), "events.a", []byte("1"))
		require.NoError(t, err)
		<-time.After(time.Hour) // an hour of the bubble's clock
		require.GreaterOrEqual(t, time.Since(started), time.Hour)
		requireStored(t, js, 1)
	})
}

func TestMessagesSurviveARestart(t *testing.T) {
	for name, opts := range map[string][]eventstoretest.Option{
		"in files":             nil,
		"in memory":            {eventstoretest.Memory()},
		"synced at each write": {eventstoretest.SyncAlways(), eventstoretest.Memory()},
	} {
		t.Run(name, func(t *testing.T) {
			srv := eventstoretest.NewServer(t, opts...)
			tcp, inProcess := newJetStream(t, srv.Connect(t)), srv.JetStream(t)
			events(t, tcp, 1)
			publish(t, tcp, "1")
			url, before := srv.URL(), srv.NATS()

			srv.Restart()

			require.Equal(t, url, srv.URL())
			require.NotSame(t, before, srv.NATS())
			requireStored(t, tcp, 1)
			requireStored(t, inProcess, 1)
			publish(t, tcp, "2")
			publish(t, inProcess, "3")
			requireStored(t, tcp, 3)
		})
	}
}

func TestOptionsReachTheServerAlsoAfterARestart(t *testing.T) {
	srv := eventstoretest.NewServer(t, eventstoretest.Options(func(o *server.Options) { o.MaxPayload = 100 }))
	nc := srv.ConnectInProcess(t)
	require.Equal(t, int64(100), nc.MaxPayload())
	srv.Restart()
	require.Equal(t, int64(100), srv.Connect(t).MaxPayload())
}

func TestAFullDiskRefusesAndIsReadOn(t *testing.T) {
	js := eventstoretest.JetStream(t, eventstoretest.Memory(), eventstoretest.Quota(100<<10))
	events(t, js, 1)
	var refused *jetstream.APIError
	stored := uint64(0)
	for ; refused == nil && stored < 100; stored++ {
		if _, err := js.Publish(t.Context(), "events.a", make([]byte, 10<<10)); err != nil {
			require.ErrorAs(t, err, &refused)
			break
		}
	}
	require.NotNil(t, refused)
	require.Positive(t, stored)
	requireStored(t, js, stored)
}

func TestSyncAlwaysReachesTheServer(t *testing.T) {
	for want, opts := range map[bool][]eventstoretest.Option{true: {eventstoretest.SyncAlways()}, false: nil} {
		info, err := eventstoretest.NewServer(t, opts...).NATS().Jsz(nil)
		require.NoError(t, err)
		require.Equal(t, want, info.Config.SyncAlways)
	}
}

func TestMemoryStoresInTheMemoryFileSystemAndCleansUp(t *testing.T) {
	if _, err := os.Stat("/dev/shm"); err != nil {
		t.Skip("this machine has no /dev/shm")
	}
	var dir string
	t.Run("while the server lives", func(t *testing.T) {
		dir = eventstoretest.NewServer(t, eventstoretest.Memory()).StoreDir()
		require.DirExists(t, filepath.Join(dir, "jetstream"))
		require.Equal(t, "/dev/shm", filepath.Dir(dir))
	})
	require.NoDirExists(t, dir)
}

func TestAConnectionKeepsNothingToSendLater(t *testing.T) {
	srv := eventstoretest.NewServer(t)
	lost := make(chan struct{})
	nc := srv.Connect(t, nats.DisconnectErrHandler(func(*nats.Conn, error) { close(lost) }))
	srv.Stop()
	<-lost
	require.ErrorIs(t, nc.Publish("a", nil), nats.ErrReconnectBufExceeded)
}

func newJetStream(t testing.TB, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	return js
}

// events makes the JetStream stream that the tests of this package write to.
func events(t testing.TB, js jetstream.JetStream, replicas int) {
	t.Helper()
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "EVENTS", Subjects: []string{"events.>"}, Replicas: replicas,
	})
	require.NoError(t, err)
}

// publish stores one message and waits, through reconnects, until it is.
func publish(t testing.TB, js jetstream.JetStream, payload string) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, err := js.Publish(t.Context(), "events.a", []byte(payload), jetstream.WithMsgID(payload))
		return err == nil
	}, 20*time.Second, 10*time.Millisecond)
}

// requireStored waits until the stream answers with that many messages.
func requireStored(t testing.TB, js jetstream.JetStream, want uint64) {
	t.Helper()
	var got uint64
	require.Eventually(t, func() bool {
		s, err := js.Stream(t.Context(), "EVENTS")
		if err != nil {
			return false
		}
		got = s.CachedInfo().State.Msgs
		return true
	}, 20*time.Second, 10*time.Millisecond)
	require.Equal(t, want, got)
}

// Of 1,000 streams that were made right after the last one was deleted, one found no folder.
func TestAStreamCanBeMadeAsSoonAsTheLastOneIsDeleted(t *testing.T) {
	srv := eventstoretest.NewServer(t, eventstoretest.Memory())
	js := srv.JetStream(t)
	for range 100 {
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "EVENTS"})
		require.NoError(t, err)
		require.NoError(t, js.DeleteStream(t.Context(), "EVENTS"))
	}
	require.ErrorIs(t, os.Remove(filepath.Join(srv.StoreDir(), "jetstream", "$G", "streams")), fs.ErrExist, "it is not empty")
}
