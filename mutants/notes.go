package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// notes are the mutants that were caught, a line for each: its key, and how long it took. A line is written as soon
// as its mutant is caught.
type notes struct {
	name   string
	caught map[string]time.Duration
}

func openNotes(name string) (*notes, error) {
	n := &notes{name: name, caught: make(map[string]time.Duration)}
	data, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for line := range strings.Lines(string(data)) {
		var key, took string
		if _, err := fmt.Sscan(line, &key, &took); err != nil {
			continue // the last line of a run that was killed
		}
		if d, err := time.ParseDuration(took); err == nil {
			n.caught[key] = d
		}
	}
	return n, os.MkdirAll(filepath.Dir(name), 0o750)
}

func (n *notes) add(key string, took time.Duration) error {
	file, err := os.OpenFile(n.name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(file, key, took)
	return errors.Join(err, file.Close())
}
