//go:build unix

package projection_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
)

// stormProcess says, in the environment of a process of a storm, what it runs: a release, the number of replicas,
// Config.StandBy, and the servers.
const stormProcess = "RUNNEL_STORM_PROCESS"

// TestStormProcess is the program of the processes that a storm starts. It runs the view until its input ends, which it
// does with the process that started it.
func TestStormProcess(t *testing.T) {
	given := os.Getenv(stormProcess)
	if given == "" {
		t.Skip("it is for the processes that a storm starts")
	}
	var (
		release, replicas int
		standBy, urls     string
	)
	_, err := fmt.Sscan(given, &release, &replicas, &standBy, &urls)
	require.NoError(t, err)
	unit, err := time.ParseDuration(standBy)
	require.NoError(t, err)
	nc, err := stormConnect(urls)
	require.NoError(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	store, err := eventstore.Open(t.Context(), js, "bank", events, &eventstore.Config{Replicas: replicas})
	require.NoError(t, err)
	defer store.Close()
	view, err := stormOpen(t.Context(), store, release, stormConfig(unit, replicas), func(deposited, eventstore.Recorded) {})
	require.NoError(t, err)
	defer view.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	require.NoError(t, view.Run(ctx))
}

// startProcess starts a process that runs the view.
func (s *storm) startProcess(release int) *exec.Cmd {
	s.t.Helper()
	var urls []string
	for _, node := range s.sky.nodes {
		urls = append(urls, node.URL())
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestStormProcess$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d %s %s", stormProcess, release, s.sky.replicas(), s.standBy, strings.Join(urls, ",")))
	_, err := cmd.StdinPipe() // which ends with this process
	require.NoError(s.t, err)
	require.NoError(s.t, cmd.Start())
	return cmd
}

// lead lets a process run for a while, perhaps makes it stand still and go on, and kills it.
func (s *storm) lead(ctx context.Context, process *exec.Cmd, d deed) {
	defer kill(process)
	idle(ctx, 4*s.standBy)
	if d.kind != "process frozen and killed" {
		return
	}
	_ = process.Process.Signal(syscall.SIGSTOP)
	idle(ctx, d.long)
	_ = process.Process.Signal(syscall.SIGCONT)
	idle(ctx, s.standBy)
}

// sorted returns deeds in the order of their times.
func sorted(plan []deed) []deed {
	return slices.SortedStableFunc(slices.Values(plan), func(a, b deed) int { return int(a.at - b.at) })
}
