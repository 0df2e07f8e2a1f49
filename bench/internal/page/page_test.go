package page_test

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/bench/internal/measure"
	"github.com/runnel-go/runnel/bench/internal/page"
)

func TestThePageShowsEachBarAndEachWay(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, page.Write(dir, []measure.Result{{
		Figure: "append", Title: "Append & wait", About: "One append.", Scale: "quick",
		Machine: measure.Machine{Processor: "a processor", Cores: 2, Modules: map[string]string{"github.com/nats-io/nats.go": "v1.55.0"}},
		Cases: []measure.CaseResult{{
			Name: "1 goroutine", Unit: "appends/s",
			Ways: []measure.WayResult{
				{Name: "Runnel", Median: 14_459, Least: 14_000, Most: 15_000, Rounds: []float64{14_000, 14_459, 15_000}},
				{Name: "nats.go", Median: 16_104, Least: 16_104, Most: 16_104, Rounds: []float64{16_104, 16_104, 16_104}},
			},
			Bars: []measure.BarResult{{Way: "Runnel", Against: "nats.go", Of: measure.Median, AtLeast: 0.95, Ratio: 0.898}},
		}},
	}}))
	readme := read(t, dir, "README.md")
	for _, want := range []string{
		"**Quick**", "2 cores of a processor", "nats-io/nats.go v1.55.0", "0 of 1 bars",
		"| Append & wait | 1 goroutine | Runnel to nats.go | **0.898** | 0.95 | NO |",
		"| 1 goroutine | Runnel | 14,459 | 14,000 to 15,000 |  |  |",
		"|  | nats.go | 16,104 |  |  | 0.898 |",
		"![Append & wait](append.svg)",
	} {
		require.Contains(t, readme, want)
	}
	plot := read(t, dir, "append.svg")
	require.Contains(t, plot, "14,459")
	decoder := xml.NewDecoder(strings.NewReader(plot))
	for {
		_, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err, "the plot is not XML")
	}
}

func TestWithoutResultsThereIsNoPage(t *testing.T) {
	require.Error(t, page.Write(t.TempDir(), nil))
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	require.NoError(t, err)
	return string(data)
}
