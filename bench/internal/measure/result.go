package measure

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// tolerated is the share of a bar below which a figure has failed: less than a third under the bar may be noise.
const tolerated = 2.0 / 3

// Result is a figure that was taken.
type Result struct {
	Figure  string        `json:"figure"`
	Title   string        `json:"title"`
	About   string        `json:"about"`
	Scale   string        `json:"scale"`
	Begun   time.Time     `json:"begun"`
	Took    time.Duration `json:"took"`
	Machine Machine       `json:"machine"`
	Cases   []CaseResult  `json:"cases"`
}

// CaseResult holds the results of the ways of a case.
type CaseResult struct {
	Name string      `json:"name"`
	Unit string      `json:"unit"`
	Ways []WayResult `json:"ways"`
	Bars []BarResult `json:"bars,omitempty"`
}

// WayResult sums up the rounds of one way, in the unit of the case. If single times were taken, the median and
// P99 are taken over the times of all rounds.
type WayResult struct {
	Name   string    `json:"name"`
	Median float64   `json:"median"`
	Least  float64   `json:"least"` // of the rounds
	Most   float64   `json:"most"`  // of the rounds
	P99    float64   `json:"p99,omitempty"`
	Rounds []float64 `json:"rounds"`
}

// BarResult is a bar and the ratio that was reached.
type BarResult struct {
	Way     string   `json:"way"`
	Against string   `json:"against"`
	Of      Quantity `json:"of"`
	AtLeast float64  `json:"atLeast"`
	Ratio   float64  `json:"ratio"`
}

// Met reports whether the bar is reached.
func (b BarResult) Met() bool { return b.Ratio >= b.AtLeast }

// Failed reports whether the bar is missed by more than a third.
func (b BarResult) Failed() bool { return b.Ratio < b.AtLeast*tolerated }

func (c CaseResult) worstShare() float64 {
	worst := 1.0
	for _, b := range c.Bars {
		worst = min(worst, b.Ratio/b.AtLeast)
	}
	return worst
}

// Way returns the figures of a way.
func (c CaseResult) Way(name string) (WayResult, bool) {
	i := slices.IndexFunc(c.Ways, func(w WayResult) bool { return w.Name == name })
	if i < 0 {
		return WayResult{}, false
	}
	return c.Ways[i], true
}

// HigherIsBetter reports whether the unit is a rate.
func (c CaseResult) HigherIsBetter() bool { return strings.HasSuffix(c.Unit, "/s") }

// Ratio is how many times as good a is as b: the median of the ratios of the rounds. Both ways meet the same
// machine only within one round, because it may be faster in the next.
func (c CaseResult) Ratio(a, b WayResult) float64 {
	var rounds []float64
	for i := range a.Rounds {
		rounds = append(rounds, c.ratio(a.Rounds[i], b.Rounds[i]))
	}
	return percentile(rounds, 0.5)
}

func (c CaseResult) ratio(a, b float64) float64 {
	if c.HigherIsBetter() {
		return a / b
	}
	return b / a
}

// String is one line for a person who watches.
func (c CaseResult) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:", c.Name)
	for _, w := range c.Ways {
		fmt.Fprintf(&b, " %s %.4g", w.Name, w.Median)
		if w.P99 > 0 {
			fmt.Fprintf(&b, " (p99 %.4g)", w.P99)
		}
		b.WriteString(",")
	}
	fmt.Fprintf(&b, " %s", c.Unit)
	for _, bar := range c.Bars {
		fmt.Fprintf(&b, "; %.3g of %.3g", bar.Ratio, bar.AtLeast)
	}
	return b.String()
}

func summarize(c Case, samples [][]Sample) CaseResult {
	result := CaseResult{Name: c.Name, Unit: c.Unit}
	for i, way := range c.Ways {
		result.Ways = append(result.Ways, summarizeWay(way.Name, samples[i]))
	}
	for _, bar := range c.Bars {
		a, _ := result.Way(bar.Way)
		b, _ := result.Way(bar.Against)
		reached := BarResult{Way: bar.Way, Against: bar.Against, Of: bar.Of, AtLeast: bar.AtLeast}
		if bar.Of == P99 {
			reached.Ratio = result.ratio(a.P99, b.P99)
		} else {
			reached.Of = Median
			reached.Ratio = result.Ratio(a, b)
		}
		result.Bars = append(result.Bars, reached)
	}
	return result
}

func summarizeWay(name string, samples []Sample) WayResult {
	way := WayResult{Name: name}
	var times []time.Duration
	for _, s := range samples {
		way.Rounds = append(way.Rounds, s.figure())
		times = append(times, s.Times...)
	}
	way.Least, way.Most = slices.Min(way.Rounds), slices.Max(way.Rounds)
	if len(times) > 0 {
		way.Median, way.P99 = milliseconds(percentile(times, 0.5)), milliseconds(percentile(times, 0.99))
	} else {
		way.Median = percentile(way.Rounds, 0.5)
	}
	return way
}

// figure is a round's figure: the median of its times, its value, or its rate a second.
func (s Sample) figure() float64 {
	switch {
	case len(s.Times) > 0:
		return milliseconds(percentile(s.Times, 0.5))
	case s.Count > 0:
		return float64(s.Count) / s.Time.Seconds()
	default:
		return s.Value
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// percentile returns the smallest value that at least this share of all values does not exceed.
func percentile[T float64 | time.Duration](values []T, share float64) T {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}
