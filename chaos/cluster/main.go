package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// settings are what the flags say.
type settings struct {
	programs
	only     *regexp.Regexp
	some     int
	list     bool
	times    bool
	soak     time.Duration
	every    time.Duration
	begins   int
	dir      string
	tally    string
	revision string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func flags() (s settings, err error) {
	only := flag.String("only", "", "regular expression of the cases to run; empty for all")
	flag.IntVar(&s.some, "some", 0, "run so many cases, which are chosen for a short run; 0 for all")
	flag.BoolVar(&s.list, "list", false, "print the cases and end")
	flag.DurationVar(&s.soak, "soak", 0, "instead of cases, make faults on one cluster for so long")
	flag.DurationVar(&s.every, "every", 20*time.Second, "the time from one fault of a soak to the next")
	flag.IntVar(&s.begins, "begins", 0, "instead of cases, time so many lists, watches and starts on a healthy cluster of three")
	flag.StringVar(&s.natsd, "natsd", "bin/natsd", "the server's program")
	flag.StringVar(&s.older, "older", "bin/natsd-older", "the server's program in an older version")
	flag.BoolVar(&s.times, "times", true, "a bound on time that is missed makes a case wrong; false for a machine that does other work")
	flag.StringVar(&s.bank, "bank", "bin/bank", "the bank's program")
	flag.StringVar(&s.dir, "dir", filepath.Join(os.TempDir(), "runnel-cluster"), "where the servers' files and all logs go")
	flag.StringVar(&s.tally, "tally", "", "file in which the counts are added up by revision; empty for none")
	flag.StringVar(&s.revision, "revision", "unknown", "of the tree, for the tally")
	flag.Parse()
	s.only, err = regexp.Compile(*only)
	return s, err
}

// cases returns the cases that the settings ask for.
func (s *settings) cases() (all []trial) {
	for _, f := range faults() {
		for _, nodes := range f.nodes {
			for _, banks := range f.banks {
				if t := (trial{f, nodes, banks}); s.only.MatchString(t.String()) && (s.some == 0 || f.short && banks == 2) {
					all = append(all, t)
				}
			}
		}
	}
	if s.some > 0 {
		all = all[:min(s.some, len(all))]
	}
	return all
}

// errWrong means that a case was not right.
var errWrong = errors.New("not everything was right: see above")

func run(ctx context.Context, out io.Writer) error {
	s, err := flags()
	if err != nil {
		return err
	}
	cases := s.cases()
	if s.list {
		for i, t := range cases {
			_, _ = fmt.Fprintf(out, "%3d %s\n", i+1, t)
		}
		return nil
	}
	if s.begins > 0 {
		dir, err := newDir(s.dir, "begins")
		if err != nil {
			return err
		}
		return errors.Join(measureBegins(ctx, out, dir, s.programs, s.begins), os.RemoveAll(dir))
	}
	total := new(tally)
	var failed error
	if s.soak > 0 {
		failed = s.long(ctx, out, total)
	} else {
		failed = s.each(ctx, out, cases, total)
	}
	if failed != nil && !errors.Is(failed, errWrong) {
		return failed
	}
	_, _ = fmt.Fprintln(out, total)
	if s.tally != "" {
		if err := total.save(s.tally, s.revision, time.Now()); err != nil {
			return err
		}
	}
	return failed
}

// each runs one case after the other.
func (s *settings) each(ctx context.Context, out io.Writer, cases []trial, total *tally) error {
	wrong := 0
	for i, t := range cases {
		if lacks := t.lacks(s.programs); lacks != "" {
			_, _ = fmt.Fprintf(out, "%3d/%d %s: left out, because it needs %s\n", i+1, len(cases), t, lacks)
			continue
		}
		dir, err := newDir(s.dir, fmt.Sprintf("case-%d", i+1))
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(out, "%3d/%d %s: ", i+1, len(cases), t)
		r, err := t.run(ctx, dir, s.programs)
		if err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
		if !s.times {
			r.forgiveTimes()
		}
		total.add(r, 1)
		_, _ = fmt.Fprintln(out, r)
		if err := r.settle(out, dir); err != nil {
			return err
		}
		if !r.ok() {
			wrong++
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d cases: %w", wrong, len(cases), errWrong)
	}
	return nil
}

// long runs a soak.
func (s *settings) long(ctx context.Context, out io.Writer, total *tally) error {
	dir, err := newDir(s.dir, "soak")
	if err != nil {
		return err
	}
	r, made, err := soak(ctx, out, dir, s.programs, s.soak, s.every)
	if err != nil {
		return err
	}
	if !s.times {
		r.forgiveTimes()
	}
	total.add(r, made)
	_, _ = fmt.Fprintf(out, "%d faults: %s\n", made, r)
	if err := r.settle(out, dir); err != nil {
		return err
	}
	if !r.ok() {
		return errWrong
	}
	return nil
}
