package measure

import (
	"bufio"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

// Machine is where, and with what, a figure was taken.
type Machine struct {
	Processor string            `json:"processor"`
	Cores     int               `json:"cores"`
	System    string            `json:"system"`
	Go        string            `json:"go"`
	Revision  string            `json:"revision"` // of the tree, with "+" where it was changed
	Modules   map[string]string `json:"modules"`  // versions of what is measured beside us
}

// ThisMachine looks around.
func ThisMachine() Machine {
	m := Machine{
		Processor: processor(), Cores: runtime.GOMAXPROCS(0), System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(),
		Modules: make(map[string]string),
	}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return m
	}
	for _, s := range build.Settings {
		switch {
		case s.Key == "vcs.revision":
			m.Revision = s.Value[:min(12, len(s.Value))] + m.Revision
		case s.Key == "vcs.modified" && s.Value == "true":
			m.Revision += "+"
		}
	}
	for _, dep := range build.Deps {
		switch dep.Path {
		case "github.com/nats-io/nats.go", "github.com/nats-io/nats-server/v2", "github.com/jackc/pgx/v5":
			m.Modules[dep.Path] = dep.Version
		}
	}
	return m
}

// Same reports whether figures of both may stand side by side.
func (m Machine) Same(other Machine) bool {
	return m.Processor == other.Processor && m.Cores == other.Cores && m.Go == other.Go && m.Revision == other.Revision
}

// processor is the name that Linux gives, or the architecture.
func processor() string {
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer func() { _ = file.Close() }() // it was read only
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
