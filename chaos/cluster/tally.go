package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
)

// tally adds up the cases of one revision.
type tally struct {
	Revision     string `json:"revision"`
	Last         string `json:"last"` // the day of the last run
	Faults       int    `json:"faults"`
	Acknowledged int    `json:"acknowledged"`
	Reads        int    `json:"reads"` // by position
	Lost         int    `json:"lost"`
	Twice        int    `json:"twice"`
	Wrong        int    `json:"wrong"` // cases in which anything was wrong
}

func (t *tally) add(r *report, faults int) {
	t.Faults += faults
	t.Acknowledged += r.acknowledged
	t.Reads += r.reads
	t.Lost += r.count("lost")
	t.Twice += r.count("twice")
	if !r.ok() {
		t.Wrong++
	}
}

func (t *tally) String() string {
	return fmt.Sprintf("%d faults, %d writes acknowledged, %d reads by position: lost %d, twice %d, cases with anything wrong %d",
		t.Faults, t.Acknowledged, t.Reads, t.Lost, t.Twice, t.Wrong)
}

// save adds the counts to a file, under a revision.
func (t *tally) save(path, revision string, now time.Time) error {
	var all []tally
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the tally %s: %w", path, err)
	}
	t.Revision, t.Last = revision, now.Format(time.DateOnly)
	i := slices.IndexFunc(all, func(other tally) bool { return other.Revision == revision })
	if i < 0 {
		all = append(all, *t)
	} else {
		sum := &all[i]
		sum.Last = t.Last
		sum.Faults += t.Faults
		sum.Acknowledged += t.Acknowledged
		sum.Reads += t.Reads
		sum.Lost += t.Lost
		sum.Twice += t.Twice
		sum.Wrong += t.Wrong
	}
	text, err = json.MarshalIndent(all, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o600)
}
