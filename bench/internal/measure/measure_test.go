package measure_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/bench/internal/measure"
)

func quiet(string, ...any) {}

// scripted returns one sample after the other, and notes the order in which ways were asked.
func scripted(order *[]string, name string, samples ...measure.Sample) measure.Way {
	return measure.Way{Name: name, Round: func(context.Context) (measure.Sample, error) {
		*order = append(*order, name)
		s := samples[0]
		if len(samples) > 1 {
			samples = samples[1:]
		}
		return s, nil
	}}
}

func rate(n int) measure.Sample { return measure.Sample{Count: n, Time: time.Second} }

func take(t *testing.T, scale measure.Scale, c measure.Case) measure.CaseResult {
	t.Helper()
	figure := measure.Figure{Name: "figure", Take: func(ctx context.Context, run *measure.Run) error { return run.Case(ctx, c) }}
	result, err := measure.Take(t.Context(), figure, scale, quiet)
	require.NoError(t, err)
	require.Len(t, result.Cases, 1)
	return result.Cases[0]
}

func TestWaysTakeTurnsAndTheFirstRoundDoesNotCount(t *testing.T) {
	var order []string
	got := take(t, measure.Scale{Rounds: 3}, measure.Case{Unit: "things/s", Ways: []measure.Way{
		scripted(&order, "a", rate(1000), rate(10), rate(30), rate(20)),
		scripted(&order, "b", rate(1), rate(5)),
	}, Bars: []measure.Bar{{Way: "a", Against: "b", AtLeast: 4}}})
	require.Equal(t, []string{"a", "b", "a", "b", "a", "b", "a", "b"}, order)
	a, ok := got.Way("a")
	require.True(t, ok)
	require.Equal(t, measure.WayResult{Name: "a", Median: 20, Least: 10, Most: 30, Rounds: []float64{10, 30, 20}}, a)
	require.InDelta(t, 4, got.Bars[0].Ratio, 1e-9)
	require.True(t, got.Bars[0].Met())
}

func TestAMachineThatGetsFasterHelpsNoWay(t *testing.T) {
	var order []string
	got := take(t, measure.Scale{Rounds: 3}, measure.Case{Unit: "things/s", Ways: []measure.Way{
		scripted(&order, "a", rate(1), rate(9), rate(10), rate(90)),
		scripted(&order, "b", rate(1), rate(10), rate(100), rate(100)), // before the second round of b
	}, Bars: []measure.Bar{{Way: "a", Against: "b", AtLeast: 0.9}}})
	require.InDelta(t, 0.9, got.Bars[0].Ratio, 1e-9, "and not 10 of 100")
}

func TestOfTimesLessIsBetter(t *testing.T) {
	var order []string
	times := func(ms ...int) (s measure.Sample) {
		for _, m := range ms {
			s.Times = append(s.Times, time.Duration(m)*time.Millisecond)
		}
		return s
	}
	got := take(t, measure.Scale{Rounds: 1}, measure.Case{Unit: "ms", Ways: []measure.Way{
		scripted(&order, "fast", times(1, 2, 3)),
		scripted(&order, "slow", times(8, 8, 90)),
	}, Bars: []measure.Bar{{Way: "fast", Against: "slow", AtLeast: 4}, {Way: "fast", Against: "slow", Of: measure.P99, AtLeast: 31}}})
	require.InDelta(t, 4, got.Bars[0].Ratio, 1e-9)
	require.True(t, got.Bars[0].Met())
	require.InDelta(t, 30, got.Bars[1].Ratio, 1e-9)
	require.False(t, got.Bars[1].Met())
	require.False(t, got.Bars[1].Failed(), "it is below by less than a third")
}

func TestTheBestOfThreeTriesCounts(t *testing.T) {
	var order []string
	c := measure.Case{Unit: "things/s", Ways: []measure.Way{
		scripted(&order, "a", rate(1), rate(1), rate(1), rate(5), rate(1), rate(2)),
		scripted(&order, "b", rate(10)),
	}, Bars: []measure.Bar{{Way: "a", Against: "b", AtLeast: 1}}}
	got := take(t, measure.Scale{Rounds: 1, Tries: 3}, c)
	require.Len(t, order, 12)
	require.InDelta(t, 0.5, got.Bars[0].Ratio, 1e-9)
	require.True(t, got.Bars[0].Failed())
}

func TestAFigureThatFailsSaysWhereAndCleansUp(t *testing.T) {
	broken := errors.New("no disk")
	var cleaned []int
	var dir string
	_, err := measure.Take(t.Context(), measure.Figure{Name: "figure", Take: func(ctx context.Context, run *measure.Run) (err error) {
		dir, err = run.TempDir()
		require.NoError(t, err)
		run.Cleanup(func() error { cleaned = append(cleaned, 1); return nil })
		run.Cleanup(func() error { cleaned = append(cleaned, 2); return nil })
		return run.Case(ctx, measure.Case{Name: "case", Ways: []measure.Way{{Name: "way", Round: func(context.Context) (measure.Sample, error) {
			return measure.Sample{}, broken
		}}}})
	}}, measure.Scale{Rounds: 1}, quiet)
	require.EqualError(t, err, "figure: case: way: no disk")
	require.Equal(t, []int{2, 1}, cleaned)
	require.NoDirExists(t, dir)
}

func TestAResultIsReadBackAsItWasWritten(t *testing.T) {
	folder := measure.Folder(filepath.Join(t.TempDir(), "full"))
	_, found, err := folder.Read("load")
	require.NoError(t, err)
	require.False(t, found)
	want := measure.Result{Figure: "load", Begun: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Machine: measure.Machine{Cores: 2, Program: "abc"}, Cases: []measure.CaseResult{
		{Name: "case", Unit: "ms", Ways: []measure.WayResult{{Name: "way", Median: 1, Rounds: []float64{1}}}},
	}}
	require.NoError(t, folder.Write(want))
	got, found, err := folder.Read("load")
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, want, got)
	require.True(t, got.Machine.Same(want.Machine))
	want.Machine.Program = "abd"
	require.False(t, got.Machine.Same(want.Machine))
}

func TestAResultThatIsNotOneIsNotOverwritten(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "load.json"), []byte(`{"figure":`), 0o600))
	_, _, err := measure.Folder(dir).Read("load")
	var syntax *json.SyntaxError
	require.ErrorAs(t, err, &syntax)
	require.ErrorContains(t, err, "load.json")
}
