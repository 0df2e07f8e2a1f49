// Command mutants proves that the tests find bugs. The folder bugs holds patches. Each has a bug that would
// break a promise, and a header that names the test that must fail for it:
//
//	Mutant: An append expects nothing of its stream.
//	Package: ./eventstore
//	Test: TestAConflictNamesBothVersions
//
//	--- a/eventstore/append.go
//	+++ b/eventstore/append.go
//	@@ ...
//
// Each patch is applied to a copy of the tree, and that test alone is run:
//
//	copy the tree -> apply a patch -> build the package's tests -> run the named one -> it fails: caught
//	                   ^   |              |                         |                -> it passes: SURVIVED
//	                   |   |              +-> DOES NOT COMPILE      +-> it is not there: NO SUCH TEST
//	                   |   +-> NO LONGER APPLIES
//	                   +------ take the patch back, next
//
// Caught mutants are noted in a file, under a hash of tree and patch, so that an interrupted run goes on where
// it ended. The command exits with 1 unless all are caught.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run() error {
	root := flag.String("root", "..", "folder of the tree")
	done := flag.String("done", "../bin/mutants.done", "file with the mutants that were caught before")
	only := flag.String("only", "", "regular expression of the names of patches; empty for all")
	some := flag.Int("some", 0, "number of mutants to run, other ones each day; 0 for all")
	flag.Parse()
	matching, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	mutants, err := read(filepath.Join(*root, "mutants", "bugs"), matching)
	if err != nil {
		return err
	}
	tree, err := copyTree(*root)
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tree.dir) }() // it is a temporary folder
	notes, err := openNotes(*done)
	if err != nil {
		return err
	}
	results := make([]result, 0, len(mutants))
	for _, m := range pick(mutants, *some, time.Now()) {
		r, err := tryOnce(tree, notes, m)
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "%s: %s\n", m.name, r.verdict)
		results = append(results, r)
	}
	table, missed := report(results)
	if _, err := os.Stdout.WriteString(table); err != nil {
		return err
	}
	if missed > 0 {
		return fmt.Errorf("%d of %d are not caught: mend the test, or the patch", missed, len(results))
	}
	return nil
}

// pick returns n mutants. Each day it picks others, until all had their turn.
func pick(mutants []mutant, n int, day time.Time) []mutant {
	if n <= 0 || n >= len(mutants) {
		return mutants
	}
	from := day.YearDay() * n
	picked := make([]mutant, n)
	for i := range picked {
		picked[i] = mutants[(from+i)%len(mutants)]
	}
	return picked
}

// tryOnce tries a mutant unless it was caught in this tree before.
func tryOnce(t *tree, known *notes, m mutant) (result, error) {
	key := t.key(m)
	if took, ok := known.caught[key]; ok {
		return result{mutant: m, verdict: caught, took: took, before: true}, nil
	}
	begin := time.Now()
	verdict, output, err := t.try(m)
	if err != nil {
		return result{}, err
	}
	r := result{mutant: m, verdict: verdict, output: output, took: time.Since(begin)}
	if verdict == caught {
		err = known.add(key, r.took)
	}
	return r, err
}

// report returns a table, and the output for mutants that were not caught.
func report(results []result) (text string, missed int) {
	var table, rest strings.Builder
	row := func(columns ...any) { fmt.Fprintf(&table, "%-38s %-18s %-62s %-12s %s\n", columns...) }
	row("mutant", "package", "test", "result", "seconds")
	for _, r := range results {
		seconds := fmt.Sprintf("%.1f", r.took.Seconds())
		if r.before {
			seconds += ", before"
		}
		row(r.name, r.pkg, r.test, r.verdict, seconds)
		if r.verdict != caught {
			missed++
			fmt.Fprintf(&rest, "\n%s: %s\n%s\n%s\n", r.name, r.verdict, r.wrong, r.output)
		}
	}
	return fmt.Sprintf("\n%s%s%d of %d caught\n", table.String(), rest.String(), len(results)-missed, len(results)), missed
}
