package natsrun_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/natsrun"
)

// A diary notes what members do, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) note(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, line)
}

// member runs until it is stopped, and then takes as long as it is told.
func (d *diary) member(name string, takes time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		d.note("start " + name)
		<-ctx.Done()
		d.note("stop " + name)
		<-time.After(takes)
		d.note("end " + name)
		return ctx.Err()
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestGroupStartsInOrderAndStopsInReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		group := natsrun.Group{Logger: quiet()}
		for _, name := range []string{"a", "b", "c"} {
			group.Add(name, d.member(name, time.Second))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began := time.Now()
		require.NoError(t, group.Run(ctx))
		require.ElementsMatch(t, []string{"start a", "start b", "start c"}, d.lines[:3])
		require.Equal(t, []string{"stop c", "end c", "stop b", "end b", "stop a", "end a"}, d.lines[3:])
		require.Equal(t, time.Hour+3*time.Second, time.Since(began))
	})
}

func TestGroupStopsTheOthersWhenAMemberFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		var cause error
		broken := errors.New("broken")
		group := natsrun.Group{Logger: quiet()}
		group.Add("first", func(ctx context.Context) error {
			<-ctx.Done()
			cause = context.Cause(ctx)
			return errors.New("and this one fails while it stops")
		})
		group.Add("failing", func(context.Context) error {
			<-time.After(time.Minute)
			return broken
		})
		group.Add("last", d.member("last", 0))
		err := group.Run(t.Context())
		require.EqualError(t, err, "natsrun: member failing: broken")
		require.ErrorIs(t, err, broken)
		require.ErrorIs(t, cause, natsrun.ErrShutdown)
		require.ErrorIs(t, cause, broken)
		require.Equal(t, []string{"start last", "stop last", "end last"}, d.lines)
	})
}

func TestGroupTakesAPanicAsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		var out bytes.Buffer
		group := natsrun.Group{Logger: slog.New(slog.NewTextHandler(&out, nil))}
		group.Add("other", d.member("other", 0))
		group.Add("panicking", func(context.Context) error { panic("at the disco") })
		err := group.Run(t.Context())
		require.EqualError(t, err, "natsrun: member panicking: panicked: at the disco")
		require.Contains(t, out.String(), "group_test.go", "the log has the stack")
		require.Contains(t, d.lines, "end other")
	})
}

func TestGroupPanicWithAnErrorCanBeMatched(t *testing.T) {
	group := natsrun.Group{Logger: quiet()}
	broken := errors.New("broken")
	group.Add("panicking", func(context.Context) error { panic(broken) })
	require.ErrorIs(t, group.Run(t.Context()), broken)
}

func TestGroupTakesGoexitAsAFailure(t *testing.T) {
	group := natsrun.Group{Logger: quiet()}
	group.Add("exiting", func(context.Context) error { runtime.Goexit(); return nil })
	require.EqualError(t, group.Run(t.Context()), "natsrun: member exiting: ended its goroutine with runtime.Goexit")
}

func TestGroupNamesTheMembersThatDoNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		release := make(chan struct{})
		stuck := func(context.Context) error { <-release; return nil }
		group := natsrun.Group{Logger: quiet(), StopTimeout: 20 * time.Second}
		group.Add("good", d.member("good", 4*time.Second))
		group.Add("stuck", stuck)
		group.Add("also good", d.member("also good", 4*time.Second))
		group.Add("stuck too", stuck)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		began := time.Now()
		err := group.Run(ctx)
		require.ErrorIs(t, err, natsrun.ErrUnfinished)
		require.ErrorContains(t, err, "after 20s: stuck too, stuck")
		require.Equal(t, time.Minute+20*time.Second, time.Since(began))
		require.Contains(t, d.lines, "end good")
		require.Contains(t, d.lines, "end also good")
		close(release)
	})
}

func TestGroupGoesOnWhenAMemberHasDoneItsWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		group := natsrun.Group{Logger: quiet()}
		for _, after := range []time.Duration{time.Second, time.Hour} {
			group.Add(after.String(), func(ctx context.Context) error {
				select {
				case <-time.After(after):
					return nil
				case <-ctx.Done():
					return errors.New("stopped too early")
				}
			})
		}
		began := time.Now()
		require.NoError(t, group.Run(t.Context()))
		require.Equal(t, time.Hour, time.Since(began))
	})
}

func TestGroupTakesACancelledContextAsAFailureOnlyWhileItRuns(t *testing.T) {
	group := natsrun.Group{Logger: quiet()}
	group.Add("confused", func(context.Context) error { return context.Canceled })
	require.ErrorIs(t, group.Run(t.Context()), context.Canceled)
}

func TestGroupReturnsAFailureToStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		group := natsrun.Group{Logger: quiet()}
		group.Add("flushing", func(ctx context.Context) error {
			<-ctx.Done()
			return errors.New("disk full")
		})
		time.AfterFunc(time.Second, cancel)
		require.EqualError(t, group.Run(ctx), "natsrun: member flushing: disk full")
	})
}

func TestGroupMemberSeesTheValuesButNotTheEndOfTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		ctx, cancel := context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
		why := errors.New("sigterm")
		var value any
		var cause error
		group := natsrun.Group{Logger: quiet()}
		group.Add("member", func(ctx context.Context) error {
			value = ctx.Value(key{})
			<-ctx.Done()
			cause = context.Cause(ctx)
			return cause
		})
		time.AfterFunc(time.Second, func() { cancel(why) })
		require.NoError(t, group.Run(ctx))
		require.Equal(t, "value", value)
		require.ErrorIs(t, cause, natsrun.ErrShutdown)
		require.ErrorIs(t, cause, why)
	})
}

func TestGroupWithNothingToDoReturns(t *testing.T) {
	var empty natsrun.Group
	require.NoError(t, empty.Run(t.Context()))

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	group := natsrun.Group{Logger: quiet()}
	group.Add("never", func(context.Context) error { return errors.New("was started") })
	require.NoError(t, group.Run(ended))
}

func TestGroupRefusesANegativeStopTimeout(t *testing.T) {
	group := natsrun.Group{Logger: quiet(), StopTimeout: -time.Second}
	group.Add("never", func(context.Context) error { return errors.New("was started") })
	require.EqualError(t, group.Run(t.Context()),
		"natsrun: invalid configuration: Group.StopTimeout is -1s: want a duration above zero")
}
