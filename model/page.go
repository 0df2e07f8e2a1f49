package main

import (
	"fmt"
	"os"
	"strings"
)

// Each part of the page that the program writes stands between two such lines.
const (
	beginning = "<!-- begin %s -->\n"
	ending    = "<!-- end %s -->\n"
)

// show compares the tables with the tables of the page, or writes them there.
func show(page string, write bool, tables map[string]string) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	now := string(text)
	for name, table := range tables {
		if now, err = replacePart(now, name, table); err != nil {
			return fmt.Errorf("%s: %w", page, err)
		}
	}
	switch {
	case now == string(text):
		return nil
	case !write:
		return fmt.Errorf("%s shows other results: run go run ./model -write", page)
	}
	return os.WriteFile(page, []byte(now), 0o600)
}

// replacePart returns a page with another text in the part of a name.
func replacePart(page, name, text string) (string, error) {
	before, rest, begins := strings.Cut(page, fmt.Sprintf(beginning, name))
	_, after, ends := strings.Cut(rest, fmt.Sprintf(ending, name))
	if !begins || !ends {
		return "", fmt.Errorf("there is no part %s", name)
	}
	return before + fmt.Sprintf(beginning, name) + "\n" + text + "\n" + fmt.Sprintf(ending, name) + after, nil
}

func scopesTable(results []result) string {
	var b strings.Builder
	b.WriteString("| Scope | Processes | Commits | Answers are lost | States | Steps | Depth |\n")
	b.WriteString("|---|---|--:|---|--:|--:|--:|\n")
	states, steps := 0, 0
	for _, r := range results {
		lost := "no"
		if r.lost {
			lost = "yes"
		}
		fmt.Fprintf(&b, "| %s | %s | %d | %s | %s | %s | %d |\n", r.name, strings.Join(r.processes, ", "),
			r.commits, lost, thousands(r.states), thousands(r.steps), r.depth)
		states, steps = states+r.states, steps+r.steps
	}
	fmt.Fprintf(&b, "| together | | | | %s | %s | |\n", thousands(states), thousands(steps))
	return b.String()
}

func seedsTable(results []result) string {
	var b strings.Builder
	b.WriteString("| Bug | Mistake | Effect | Steps |\n|---|---|---|--:|\n")
	all := seeds()
	for i, s := range all {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s | %d |\n", s.name, s.name, s.wrong, s.breaks, len(results[i].trace))
	}
	for i, s := range all {
		fmt.Fprintf(&b, "\n### %s\n\nIf %s, then %s:\n\n", s.name, s.wrong, s.breaks)
		for n, line := range results[i].trace {
			fmt.Fprintf(&b, "%d. %s\n", n+1, line)
		}
	}
	return b.String()
}

// thousands writes a number with a comma after each three digits.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
