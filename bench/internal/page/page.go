// Package page writes results for readers: one Markdown page with a plot of each figure.
package page

import (
	"bytes"
	"embed"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/runnel-go/runnel/bench/internal/measure"
)

//go:embed page.md.tmpl plot.svg.tmpl
var files embed.FS

// Write writes README.md and the plots into the folder of the results.
func Write(dir string, results []measure.Result) error {
	if len(results) == 0 {
		return errors.New("there are no results to show")
	}
	functions := template.FuncMap{"number": number, "spread": spread, "relative": relative, "modules": modules, "escape": template.HTMLEscapeString}
	templates, err := template.New("").Funcs(functions).ParseFS(files, "*.tmpl")
	if err != nil {
		return err
	}
	for _, r := range results {
		if err := render(templates, "plot.svg.tmpl", plotOf(r), filepath.Join(dir, r.Figure+".svg")); err != nil {
			return err
		}
	}
	return render(templates, "page.md.tmpl", pageOf(results), filepath.Join(dir, "README.md"))
}

func render(templates *template.Template, name string, data any, path string) error {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, data); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o600)
}

// page is the data of page.md.tmpl.
type page struct {
	Quick    bool
	Machines []measure.Machine // usually one
	From, To string
	Bars     []bar
	Met      int
	Results  []measure.Result
}

// bar is a line of the table of bars.
type bar struct {
	Figure, Case string
	measure.BarResult
}

func pageOf(results []measure.Result) page {
	p := page{Quick: results[0].Scale == "quick", Results: results}
	first, last := results[0].Begun, results[0].Begun
	for _, r := range results {
		if first.After(r.Begun) {
			first = r.Begun
		}
		if last.Before(r.Begun) {
			last = r.Begun
		}
		if !slices.ContainsFunc(p.Machines, r.Machine.Same) {
			p.Machines = append(p.Machines, r.Machine)
		}
		for _, c := range r.Cases {
			for _, b := range c.Bars {
				p.Bars = append(p.Bars, bar{r.Title, c.Name, b})
				if b.Met() {
					p.Met++
				}
			}
		}
	}
	const minute = "2006-01-02 15:04" // figures may be taken over several days
	p.From, p.To = first.Format(minute), last.Format(minute)
	return p
}

func modules(m measure.Machine) string {
	var all []string
	for _, path := range slices.Sorted(maps.Keys(m.Modules)) {
		all = append(all, path[strings.Index(path, "/")+1:]+" "+m.Modules[path])
	}
	return strings.Join(all, ", ")
}

// number writes three digits, and thousands with a comma.
func number(v float64) string {
	switch {
	case v >= 1000:
		digits := strconv.FormatFloat(v, 'f', 0, 64)
		for i := len(digits) - 3; i > 0; i -= 3 {
			digits = digits[:i] + "," + digits[i:]
		}
		return digits
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	default:
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
}

func spread(w measure.WayResult) string {
	if len(w.Rounds) < 2 || w.Least == w.Most {
		return ""
	}
	return number(w.Least) + " to " + number(w.Most)
}

// relative compares a way with the first one.
func relative(c measure.CaseResult, w measure.WayResult) string {
	if w.Name == c.Ways[0].Name || w.Median == 0 {
		return ""
	}
	return number(c.Ratio(c.Ways[0], w))
}
