package page

import (
	"github.com/runnel-go/runnel/bench/internal/measure"
)

// plot is the data of plot.svg.tmpl, which draws a group of bars for each case. The longest bar of a group has
// the full length, because the cases of a figure are often orders of magnitude apart.
type plot struct {
	Title, Unit   string
	Better        string
	Width, Height int
	Labels        []label
	Bars          []rectangle
}

type label struct {
	Y    int
	Text string
}

type rectangle struct {
	Y, Width int
	Class    string
	Name     string
	Value    string
}

// Measures of the plot in pixels.
const (
	longest   = 420
	barHeight = 18
	labelling = 24
	margin    = 12
	names     = 170
	values    = 130
	heading   = 44
)

func plotOf(r measure.Result) plot {
	p := plot{Title: r.Title, Unit: r.Cases[0].Unit, Better: "shorter is better", Width: margin + names + longest + values}
	if r.Cases[0].HigherIsBetter() {
		p.Better = "longer is better"
	}
	y := heading
	for _, c := range r.Cases {
		p.Labels = append(p.Labels, label{y + labelling - 8, c.Name})
		y += labelling
		most := 0.0
		for _, w := range c.Ways {
			most = max(most, w.Median)
		}
		for i, w := range c.Ways {
			class := "other"
			if i == 0 {
				class = "first"
			}
			p.Bars = append(p.Bars, rectangle{y, max(1, int(w.Median/most*longest)), class, w.Name, number(w.Median)})
			y += barHeight
		}
	}
	p.Height = y + margin
	return p
}

// Middle is where a bar's text stands.
func (r rectangle) Middle() int { return r.Y + barHeight - 5 }

// Thick is how high a bar is, with room to the next.
func (r rectangle) Thick() int { return barHeight - 4 }

// Left is where bars begin.
func (r rectangle) Left() int { return margin + names }

// End is where a bar's value stands.
func (r rectangle) End() int { return r.Left() + r.Width + 6 }
