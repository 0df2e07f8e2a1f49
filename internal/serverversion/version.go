// Package serverversion knows which versions of the NATS server this module supports.
package serverversion

import (
	"fmt"
	"strings"
)

// Required says in words which versions [Supported] accepts.
const Required = "2.12.15 or later in 2.12, or 2.14.4 or later"

// Supported reports whether a store can rely on a server of that version. Older servers have no atomic batches, or
// refuse a batch with expectations on several subjects without reason (nats-server issue 8376).
func Supported(version string) bool {
	n, ok := parse(version)
	return ok && (n.atLeast(2, 14, 4) || n.major == 2 && n.minor == 12 && n.patch >= 15)
}

// ExpectsByIndex reports whether a server of that version compares an expected sequence with its index. Other servers
// compare it with the message, which they may be unable to read. A version before a release, such as 2.15.3-RC.1, may
// not compare with the index yet.
func ExpectsByIndex(version string) bool {
	n, ok := parse(version)
	return ok && !strings.Contains(version, "-") && n.atLeast(2, 15, 3)
}

// number is a version without what follows its hyphen.
type number struct{ major, minor, patch int }

func (n number) atLeast(major, minor, patch int) bool {
	switch {
	case n.major != major:
		return n.major > major
	case n.minor != minor:
		return n.minor > minor
	}
	return n.patch >= patch
}

// parse reads a version such as 2.14.4 or 2.15.0-RC.1. It returns false if the text is not a version.
func parse(version string) (number, bool) {
	var n number
	core, _, _ := strings.Cut(version, "-")
	_, err := fmt.Sscanf(core, "%d.%d.%d", &n.major, &n.minor, &n.patch)
	return n, err == nil && core == fmt.Sprintf("%d.%d.%d", n.major, n.minor, n.patch)
}
