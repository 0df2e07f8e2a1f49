// Command model tries every order in which the processes of a view can take their steps, and checks that no
// order breaks a promise of views. It calls the same functions of internal/protocol as the code that runs a
// view. README.md explains it.
//
//	go run ./model                 explores all scopes, finds all seeded bugs, and compares both with README.md
//	go run ./model -write          the same, but writes them into README.md
//	go run ./model -scope core     explores one scope
//	go run ./model -commits 3      explores on a longer log
//	go run ./model -deep           explores what takes some minutes and several gigabytes
//
// It exits with 1 if a property is broken, a seeded bug is not found, or README.md has other results.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"
)

// options are the options of the command line.
type options struct {
	scope   string
	commits int
	deep    bool
	write   bool
	page    string
}

func main() {
	var o options
	flag.StringVar(&o.scope, "scope", "", "explore only the scope of this `name`, and no seeded bugs")
	flag.IntVar(&o.commits, "commits", 0, "the `length` to which the log grows, if it is to be another one; no seeded bugs")
	flag.BoolVar(&o.deep, "deep", false, "explore other scopes, which take some minutes and several gigabytes; no seeded bugs")
	flag.BoolVar(&o.write, "write", false, "write the results into the page instead of comparing them")
	flag.StringVar(&o.page, "page", filepath.Join("model", "README.md"), "the `file` that shows the results")
	flag.Parse()
	debug.SetGCPercent(20) // states hold no pointers, so a collection is cheap
	if err := o.check(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "model:", err)
		os.Exit(1)
	}
}

func (o options) check(w io.Writer) error {
	out := printer{w}
	results, err := check(out, o.chosen())
	if err != nil || o.scope != "" || o.commits != 0 || o.deep {
		return err
	}
	found, err := checkSeeds(out)
	if err != nil {
		return err
	}
	return show(o.page, o.write, map[string]string{"scopes": scopesTable(results), "bugs": seedsTable(found)})
}

// printer writes lines. It ignores errors of writing, because the exit code reports the result of the
// exploration.
type printer struct{ io.Writer }

func (p printer) line(format string, args ...any) { _, _ = fmt.Fprintf(p, format+"\n", args...) }

// trace writes numbered lines.
func (p printer) trace(lines []string) {
	for i, line := range lines {
		p.line("  %2d. %s", i+1, line)
	}
}

// chosen returns the explorations that the options ask for.
func (o options) chosen() (chosen []func() result) {
	all := scopes()
	if o.deep {
		all = deepScopes()
	}
	for _, sc := range all {
		if o.commits != 0 {
			sc.commits = int8(o.commits)
		}
		if o.scope == "" || o.scope == sc.name {
			chosen = append(chosen, func() result { return explore(view(sc, none), true) })
		}
	}
	releases := handover{name: "hand-over between releases", commits: 3, newer: []bool{false, true, true}}
	if o.commits != 0 {
		releases.commits = int8(min(o.commits, maxEvents))
	}
	if !o.deep && (o.scope == "" || o.scope == releases.name) {
		chosen = append(chosen, func() result { return explore(&releases, true) })
	}
	return chosen
}

// check explores, as much at the same time as there are processors.
func check(out printer, explorations []func() result) (results []result, err error) {
	out.line("Properties: it never happens that")
	for _, p := range properties {
		out.line("  - %s", p)
	}
	begun := time.Now()
	total := 0
	for r := range exploreAll(explorations) {
		out.line("%s: %d states, %d steps, at most %d steps from the first state (after %.1f s)",
			r.name, r.states, r.steps, r.depth, time.Since(begun).Seconds())
		if r.breaks != holds {
			out.trace(r.trace)
			return nil, fmt.Errorf("%s: %s", r.name, r.breaks)
		}
		results = append(results, r)
		total += r.states
	}
	out.line("%d states in all; every property holds", total)
	return results, nil
}

// checkSeeds looks for each seeded bug.
func checkSeeds(out printer) ([]result, error) {
	var results []result
	for _, s := range seeds() {
		r := s.explore(s.bug)
		if r.breaks != s.breaks {
			return nil, fmt.Errorf("the seeded bug %s breaks %q, and %q is expected", s.name, r.breaks, s.breaks)
		}
		out.line("\nseeded bug %s: %s; then, after %d steps, %s", s.name, s.wrong, len(r.trace), s.breaks)
		out.trace(r.trace)
		results = append(results, r)
	}
	return results, nil
}
