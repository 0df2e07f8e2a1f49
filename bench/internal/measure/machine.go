package measure

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

// Machine is the machine and the versions of a figure.
type Machine struct {
	Processor string            `json:"processor"`
	Cores     int               `json:"cores"`
	System    string            `json:"system"`
	Go        string            `json:"go"`
	Revision  string            `json:"revision"` // of the tree, from the caller
	Program   string            `json:"program"`  // hash of this program, which changes with the code that it measures
	Modules   map[string]string `json:"modules"`  // versions of the modules that are measured
}

// ThisMachine describes the machine that runs the program.
func ThisMachine(revision string) (Machine, error) {
	m := Machine{
		Processor: processor(), Cores: runtime.GOMAXPROCS(0), System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(),
		Revision: revision, Modules: make(map[string]string),
	}
	var err error
	if m.Program, err = program(); err != nil {
		return m, err
	}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return m, nil
	}
	for _, dep := range build.Deps {
		switch dep.Path {
		case "github.com/nats-io/nats.go", "github.com/nats-io/nats-server/v2", "github.com/jackc/pgx/v5":
			m.Modules[dep.Path] = dep.Version
		}
	}
	return m, nil
}

// program is the beginning of the hash of the running program.
func program() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	file, err := os.Open(self)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // it was read only
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil))[:12], nil
}

// Same reports whether figures of both machines may stand side by side.
func (m Machine) Same(other Machine) bool {
	return m.Processor == other.Processor && m.Cores == other.Cores && m.Program == other.Program
}

// processor returns the name that Linux has for it, or the architecture.
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
