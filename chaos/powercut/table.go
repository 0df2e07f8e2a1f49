package main

import (
	"errors"
	"fmt"
)

// total sums up the cuts of one mode.
type total struct {
	cuts     int
	looked   int
	lost     int // commits
	losing   int // cuts that lost any
	torn     int // cuts with a torn transaction in the log
	tornView int // cuts with a torn batch in the view
	reported int // cuts after which the log was refused
	silent   int // cuts that lost commits, and nothing on the disk knew
	reports  []error
	wrong    []string
}

func (t *total) add(f finding) {
	t.cuts++
	t.looked += f.looked
	t.lost += f.lost
	t.losing += one(f.lost > 0)
	t.torn += one(f.torn > 0)
	t.tornView += one(f.tornView > 0)
	t.reported += one(len(f.reported) > 0)
	t.silent += one(f.lost > 0 && len(f.reported) == 0)
	t.reports = append(t.reports, f.reported...)
	for _, w := range f.wrong {
		t.wrong = append(t.wrong, fmt.Sprintf("cut %d: %s", t.cuts, w))
	}
}

func one(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// head returns the lines above the rows of the table.
func head(cuts int) string {
	return fmt.Sprintf("%d cuts in each mode; %d goroutines append, %d write transactions over %d streams each, and a view runs\n\n",
		cuts, appenders, movers, ownParties) +
		"| mode | cuts | acknowledged, looked for | lost | cuts that lose | torn transaction | torn view | loss reported | loss nobody knows of | wrong |\n" +
		"| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
}

func (m mode) row(t total) string {
	return fmt.Sprintf("| %s | %d | %d | %d | %d | %d | %d | %d | %d | %d |\n",
		m.name, t.cuts, t.looked, t.lost, t.losing, t.torn, t.tornView, t.reported, t.silent, len(t.wrong))
}

// bars returns an error with all violations.
func (m mode) bars(t total) error {
	var missed []error
	for _, w := range t.wrong {
		missed = append(missed, fmt.Errorf("%s: %s", m.name, w))
	}
	if m.durable && t.lost > 0 {
		missed = append(missed, fmt.Errorf("%s: %d commits that were acknowledged are lost", m.name, t.lost))
	}
	if m.durable {
		for _, err := range t.reports {
			missed = append(missed, fmt.Errorf("%s: the log is refused though nothing may be lost: %w", m.name, err))
		}
	}
	return errors.Join(missed...)
}
