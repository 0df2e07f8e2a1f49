package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/runnel-go/runnel/bench/internal/figures"
	"github.com/runnel-go/runnel/bench/internal/measure"
	"github.com/runnel-go/runnel/bench/internal/page"
	"github.com/runnel-go/runnel/bench/internal/servers"
	"github.com/runnel-go/runnel/bench/internal/service"
)

func main() {
	asked, err := servers.ServeIfAsked(os.Args, os.Stdin, os.Stdout)
	if !asked {
		asked, err = service.ServeIfAsked(os.Args, os.Stdout)
	}
	if !asked {
		err = run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// settings are what the flags say.
type settings struct {
	quick, check, fresh bool
	postgres            bool
	only                *regexp.Regexp
	out, revision       string
}

func flags() (settings, error) {
	var s settings
	only := flag.String("only", "", "regular expression of the figures to take; empty for all")
	flag.BoolVar(&s.quick, "quick", false, "small stores and short rounds")
	flag.BoolVar(&s.check, "check", false, "fail if a ratio is below its bar by more than a third in the best of three tries")
	flag.BoolVar(&s.fresh, "fresh", false, "take figures again that were taken before")
	flag.StringVar(&s.out, "out", "results", "folder of the results, which go into a folder there by scale")
	flag.BoolVar(&s.postgres, "postgres", false, "take only the figures with a table in Postgres, on the server of RUNNEL_BENCH_POSTGRES or on one of its own")
	flag.StringVar(&s.revision, "revision", "unknown", "of the tree, for the page")
	flag.Parse()
	var err error
	s.only, err = regexp.Compile(*only)
	return s, err
}

func (s settings) scale() (measure.Scale, figures.Sizes) {
	scale := measure.Scale{Name: "full", Rounds: 7, Round: 400 * time.Millisecond}
	sizes := figures.Sizes{
		Stores: []int{100_000, 1_000_000, 2_000_000, 10_000_000}, Replay: 500_000, View: 1_000_000, Streams: 1_000_000, Old: 1_000_000,
		Sagas: 2000, Postgres: 200_000, Deep: true,
	}
	if s.quick {
		scale = measure.Scale{Name: "quick", Rounds: 3, Round: 150 * time.Millisecond}
		sizes = figures.Sizes{Stores: []int{100_000}, Replay: 100_000, View: 100_000, Streams: 100_000, Old: 50_000, Sagas: 500, Postgres: 20_000}
	}
	if s.check {
		scale.Tries = 3
	}
	return scale, sizes
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s, err := flags()
	if err != nil {
		return err
	}
	scale, sizes := s.scale()
	folder := measure.Folder(filepath.Join(s.out, scale.Name))
	machine, err := measure.ThisMachine(s.revision)
	if err != nil {
		return err
	}
	var results []measure.Result
	for _, f := range slices.Concat(figures.All(sizes), figures.WithPostgres(sizes)) {
		result, found, err := s.result(ctx, folder, machine, f, scale)
		if err != nil {
			return err
		}
		if found {
			results = append(results, result)
		}
	}
	if err := page.Write(string(folder), results); err != nil {
		return err
	}
	say("%s", filepath.Join(string(folder), "README.md"))
	return s.judge(results)
}

// result takes a figure, unless it is not asked for, or this program has taken it before on this machine.
func (s settings) result(ctx context.Context, folder measure.Folder, machine measure.Machine, f measure.Figure, scale measure.Scale) (measure.Result, bool, error) {
	before, found, err := folder.Read(f.Name)
	if err != nil || s.postgres != strings.HasPrefix(f.Name, figures.PostgresPrefix) || !s.only.MatchString(f.Name) {
		return before, found, err
	}
	if found && !s.fresh && before.Machine.Same(machine) {
		say("%s: taken at %s", f.Name, before.Begun.Format(time.TimeOnly))
		return before, true, nil
	}
	say("%s", f.Name)
	result, err := measure.Take(ctx, f, scale, say)
	if err != nil {
		return measure.Result{}, false, err
	}
	result.Machine = machine
	return result, true, folder.Write(result)
}

// judge fails if a bar is missed by more than a third and the caller asked for the check.
func (s settings) judge(results []measure.Result) error {
	var failed []error
	for _, r := range results {
		for _, c := range r.Cases {
			for _, b := range c.Bars {
				if s.check && b.Failed() {
					failed = append(failed, fmt.Errorf("%s, %s: %s is %.3g of %s, and the bar is %.3g", r.Figure, c.Name, b.Way, b.Ratio, b.Against, b.AtLeast))
				}
			}
		}
	}
	return errors.Join(failed...)
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
