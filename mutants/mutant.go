package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// mutant is one bug.
type mutant struct {
	name  string // of the patch, without its ending
	wrong string // the bug
	pkg   string // as the go command takes it
	test  string // the test that must fail
	patch []byte // the file with its header, which git apply passes over
}

// verdict is the outcome of a mutant.
type verdict string

const (
	caught         verdict = "caught"
	survived       verdict = "SURVIVED"
	doesNotApply   verdict = "NO LONGER APPLIES"
	doesNotCompile verdict = "DOES NOT COMPILE"
	noSuchTest     verdict = "NO SUCH TEST"
	noTestFailed   verdict = "ENDED WITHOUT A FAILURE OF THE TEST"
)

// result is a verdict with the output of the test.
type result struct {
	mutant
	verdict verdict
	output  string
	took    time.Duration
	before  bool // in an earlier run
}

// read returns the mutants in a folder whose names match, in the order of their names.
func read(dir string, matching *regexp.Regexp) ([]mutant, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.patch"))
	if err != nil {
		return nil, err
	}
	var all []mutant
	for _, name := range names {
		patch, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		m, err := parse(strings.TrimSuffix(filepath.Base(name), ".patch"), patch)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if matching.MatchString(m.name) {
			all = append(all, m)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s has no patches that match %q", dir, matching)
	}
	return all, nil
}

// parse reads the header of a patch.
func parse(name string, patch []byte) (mutant, error) {
	m := mutant{name: name, patch: patch}
	header, _, ok := bytes.Cut(patch, []byte("\n\n"))
	if !ok {
		return mutant{}, errors.New("no blank line after a header")
	}
	for line := range strings.Lines(string(header)) {
		field, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch field {
		case "Mutant":
			m.wrong = value
		case "Package":
			m.pkg = value
		case "Test":
			m.test = value
		default:
			return mutant{}, fmt.Errorf("line %q of the header is not Mutant, Package or Test", line)
		}
	}
	if m.wrong == "" || !strings.HasPrefix(m.pkg, "./") || !strings.HasPrefix(m.test, "Test") {
		return mutant{}, errors.New("the header must have Mutant, Package and Test")
	}
	return m, nil
}
