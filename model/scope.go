package main

// role is the role of a process.
type role int

const (
	nobody role = iota
	runner
	builder
	pruner
	operator
)

// part is a process of a scope.
type part struct {
	name   string
	role   role
	fold   int        // the fold version that it folds, builds or operates
	builds generation // of a builder
}

// scope says which processes are explored together, and on how long a log. It is explored exhaustively.
type scope struct {
	name    string
	commits int8     // the length to which the log grows
	parts   []part   // in the order of state.processes
	newest  int      // the fold version of the reader's release; it reads older ones until there is a newer
	lost    bool     // answers of writes are lost, and flips arrive late
	alone   [][]int  // each of these groups must be enough to get the reader to the log's end
	twins   [][2]int // pairs of parts that differ in nothing, builders first
}

const (
	reads   = -1 // the reader's number in a step
	appends = -2 // the log's
)

func run(n string, fold int) part { return part{name: "runner " + n, role: runner, fold: fold} }

func build(g generation, fold int) part {
	return part{name: "builder " + string(rune('0'+g)), role: builder, fold: fold, builds: g}
}

// foldOf returns the fold version of a generation.
func (sc *scope) foldOf(g generation) int {
	for _, p := range sc.parts {
		if p.role == builder && p.builds == g {
			return p.fold
		}
	}
	return 0
}

// first is the state in which a scope begins: generation 1 serves fold version 0, and the log is empty.
func (sc *scope) first() state {
	var s state
	s.record.slots[0].Serving = 1
	s.buckets[1].exists = true
	return s
}

// nameOf returns the name of the process that takes a step.
func (sc *scope) nameOf(by int) string {
	switch by {
	case reads:
		return "reader"
	case appends:
		return "log"
	}
	return sc.parts[by].name
}

var (
	prunes   = part{name: "pruner", role: pruner}
	operates = part{name: "operator", role: operator}
)

// scopes returns the scopes that make model explores.
func scopes() []scope {
	either, together := [][]int{{0}, {1}}, [][]int{{0, 1}}
	return []scope{
		{
			name: "core", commits: 1, lost: true, alone: either, twins: [][2]int{{2, 3}, {0, 1}},
			parts: []part{run("1", 0), run("2", 0), build(2, 0), build(3, 0), prunes},
		},
		{
			name: "one runner, a longer log", commits: 2, lost: true, alone: [][]int{{0}}, twins: [][2]int{{1, 2}},
			parts: []part{run("1", 0), build(2, 0), build(3, 0), prunes},
		},
		{
			name: "pause", commits: 2, lost: true, alone: either, twins: [][2]int{{0, 1}},
			parts: []part{run("1", 0), run("2", 0), build(2, 0), operates},
		},
		{
			name: "two fold versions", commits: 1, lost: true, newest: 1, alone: together, twins: [][2]int{{2, 3}},
			parts: []part{run("1", 0), run("2", 1), build(2, 1), build(3, 1), prunes},
		},
		{
			name: "two fold versions, a longer log", commits: 2, lost: true, newest: 1, alone: together,
			parts: []part{run("1", 0), run("2", 1), build(2, 1), prunes},
		},
		{
			name: "two fold versions, the old one rebuilt", commits: 2, newest: 1, alone: together,
			parts: []part{run("1", 0), run("2", 1), build(2, 0), build(3, 1)},
		},
	}
}

// deepScopes returns the scopes that take longer: longer logs, on which answers are not lost.
func deepScopes() []scope {
	core, folds := scopes()[0], scopes()[3]
	core.name, core.lost, core.commits = "core, a longer log", false, 2
	folds.name, folds.lost, folds.commits = "two fold versions and two builders, a longer log", false, 2
	return []scope{core, folds}
}
