package natsrun_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/proptest"
	"github.com/runnel-go/runnel/natsrun"
)

// A stream whose next file cannot be begun takes nothing more, also once it could be.
func TestHealthTellsOfAStreamThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	rt := open(t, natsrun.Config{DataDir: dir, Sync: natsrun.SyncNone})
	js := rt.Commands()
	for _, name := range []string{"BANK", "SHOP"} {
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{name + ".>"}})
		require.NoError(t, err)
	}
	publish := func(subject string) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := js.Publish(ctx, subject, make([]byte, 900_000))
		return err
	}
	require.NoError(t, publish("BANK.1"))
	require.True(t, rt.Health().Ready())

	messages := filepath.Join(dir, "jetstream", "$G", "streams", "BANK", "msgs")
	require.NoError(t, os.Rename(messages, messages+".gone"))
	var failed error
	for range 20 { // a file has 8 MiB
		if failed = publish("BANK.1"); failed != nil {
			break
		}
	}
	require.Error(t, failed)
	health := rt.Health()
	require.False(t, health.Ready())
	require.False(t, health.JetStream)
	require.Equal(t, natsrun.Connected, health.State)
	require.NoError(t, os.Rename(messages+".gone", messages))
	require.Error(t, publish("BANK.1"))
	require.NoError(t, publish("SHOP.1"))
	require.False(t, rt.Health().Ready(), "one of two streams takes nothing")
}

func TestHealthIsNotShakenByStreamsThatComeAndGo(t *testing.T) {
	rt := open(t, natsrun.Config{DataDir: t.TempDir(), Sync: natsrun.SyncNone})
	js := rt.Commands()
	done := make(chan struct{})
	var maker sync.WaitGroup
	maker.Go(func() {
		defer close(done)
		for range 100 {
			_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "BRIEF", Subjects: []string{"brief"}})
			if err == nil {
				err = js.DeleteStream(t.Context(), "BRIEF")
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	defer maker.Wait()
	for looks := 0; ; looks++ {
		require.True(t, rt.Health().Ready(), "look %d", looks)
		select {
		case <-done:
			return
		default:
		}
	}
}

func TestHealthOfAClusterWithoutALeader(t *testing.T) {
	if !proptest.Long() {
		t.Skip("a leader that lost its quorum takes some seconds to notice")
	}
	nodes := eventstoretest.NewCluster(t, 3).Nodes()
	rt := open(t, natsrun.Config{URL: nodes[0].URL()})
	require.True(t, rt.Health().Ready())
	nodes[1].Stop()
	nodes[2].Stop()
	require.Equal(t, nats.CONNECTED, rt.Conn().Status())
	require.Eventually(t, func() bool { return !rt.Health().Ready() }, time.Minute, 10*time.Millisecond)
	require.Equal(t, natsrun.Connected, rt.Health().State)
}
