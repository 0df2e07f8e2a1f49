package eventstore

import "time"

// readOptions are the options of all reads. Each read uses some of them.
type readOptions struct {
	from       Version
	backwards  bool
	after      Position
	until      *Position
	since      time.Time
	leader     bool
	live       bool
	stream     *StreamID
	behind     *StreamID
	progress   func(Progress)
	categories []string
	types      []string
}

// The options of each read. An option that a read does not take does not compile.
type (
	// LoadOption is an option of [Store.Load]: [From], [After] and [Leader].
	LoadOption interface {
		set(o *readOptions)
		ofLoad()
	}
	// StreamOption is an option of [Store.Stream]: [From], [After], [Leader] and [Backwards].
	StreamOption interface {
		set(o *readOptions)
		ofStream()
	}
	// LogOption is an option of [Store.Log]: [After], [FromTime], [Until] and [Live].
	LogOption interface {
		set(o *readOptions)
		ofLog()
	}
	// AllOption is an option of [Store.All]: each [LogOption], [Categories] and [Types].
	AllOption interface {
		set(o *readOptions)
		ofAll()
	}
	// ReplayOption is an option of [Store.Replay]: [After], [FromTime], [Until], [Categories], [Types], [OfStream] with
	// [From], and [OnProgress].
	ReplayOption interface {
		set(o *readOptions)
		ofReplay()
	}
	// StreamsOption is an option of [Store.Streams]: [Behind].
	StreamsOption interface {
		set(o *readOptions)
		ofStreams()
	}
)

// option is every option. The return types of the functions below say which reads take it.
type option func(o *readOptions)

func (f option) set(o *readOptions) { f(o) }
func (option) ofLoad()              {}
func (option) ofStream()            {}
func (option) ofLog()               {}
func (option) ofAll()               {}
func (option) ofReplay()            {}
func (option) ofStreams()           {}

// From makes [Store.Stream], [Store.Load], and [Store.Replay] of one stream begin at a version. Load returns the commit
// that holds the version whole. The default is the first version, and with [Backwards] the last.
func From(version Version) interface {
	LoadOption
	StreamOption
	ReplayOption
} {
	return option(func(o *readOptions) { o.from = version })
}

// Leader makes [Store.Stream] and [Store.Load] ask the leader where the stream stands. By default any replica is asked.
func Leader() interface {
	LoadOption
	StreamOption
} {
	return option(func(o *readOptions) { o.leader = true })
}

// After makes [Store.All], [Store.Log] and [Store.Replay] begin after a position, which may be inside a transaction.
// By default they begin with the log. [Store.Stream] and [Store.Load] pass over the stream's commits up to the position
// without reading them. So the cost depends on what came since, and not on the length of the stream.
func After(position Position) interface {
	LoadOption
	StreamOption
	LogOption
	AllOption
	ReplayOption
} {
	return option(func(o *readOptions) { o.after = position })
}

// FromTime makes [Store.All], [Store.Log] and [Store.Replay] begin with the first commit that the server stored at or
// after a time. A transaction of which one commit was stored before and another after is read whole. Together with
// [After], the later of both counts.
//
// The time is the clock of the stream's leader when it took the commit. It is not Commit.Time, which is the writer's
// and orders nothing. The time rises with the positions as far as the clocks of the servers agree. If the clocks
// differ, or one was put back, the read may begin too early or too late by that difference. A log that was imported has
// the times of its import.
func FromTime(t time.Time) interface {
	LogOption
	AllOption
	ReplayOption
} {
	return option(func(o *readOptions) { o.since = t })
}

// Until makes [Store.All], [Store.Log] and [Store.Replay] end with the commit at a position, [Live] or not. A
// transaction that begins there or before and ends after it is read whole. The default is the log's end at the time of
// the call. With [Live] there is no default.
func Until(position Position) interface {
	LogOption
	AllOption
	ReplayOption
} {
	return option(func(o *readOptions) { o.until = &position })
}

// Live makes [Store.All] and [Store.Log] go on with what is appended, until their context ends.
func Live() interface {
	LogOption
	AllOption
} {
	return option(func(o *readOptions) { o.live = true })
}

// Categories makes [Store.All] and [Store.Replay] read the events of streams of these categories only.
func Categories(categories ...string) interface {
	AllOption
	ReplayOption
} {
	return option(func(o *readOptions) { o.categories = append(o.categories, categories...) })
}

// Types makes [Store.All] and [Store.Replay] read the events of these types only, and of types that are upcast to them.
func Types(types ...string) interface {
	AllOption
	ReplayOption
} {
	return option(func(o *readOptions) { o.types = append(o.types, types...) })
}

// Backwards makes [Store.Stream] yield the newest event first, and go down to version 1. With [From] it begins at that
// version, and with [After] it ends above that position. It reads no further than events are pulled: the last 17
// commits of a stream cost two round trips, however long the stream is, and each further 16 cost one more. The commits
// above the version of From are also read, and passed over.
func Backwards() StreamOption {
	return option(func(o *readOptions) { o.backwards = true })
}

// OfStream makes [Store.Replay] read one stream only, as its leader holds it.
func OfStream(stream StreamID) ReplayOption {
	return option(func(o *readOptions) { o.stream = &stream })
}

// OnProgress makes [Store.Replay] call a function about four times a second, and once at the end. The goroutine that
// replays calls it between two events.
func OnProgress(report func(Progress)) ReplayOption {
	return option(func(o *readOptions) { o.progress = report })
}

// Behind makes [Store.Streams] begin with the first stream after this one. The stream need not exist.
func Behind(stream StreamID) StreamsOption {
	return option(func(o *readOptions) { o.behind = &stream })
}

// readOptionsOf returns what options set.
func readOptionsOf[O interface{ set(o *readOptions) }](options []O) readOptions {
	var o readOptions
	for _, option := range options {
		option.set(&o)
	}
	if o.backwards && o.from == 0 {
		o.from = ^Version(0)
	}
	o.from = max(o.from, 1)
	return o
}
