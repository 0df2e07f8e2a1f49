package natsrun

import (
	"fmt"
	"strings"
)

// Durability says what must fail before an acknowledged message is lost: how many servers hold the message, and whether
// it is on their disks.
type Durability struct {
	Embedded bool     `json:"embedded"`
	Replicas int      `json:"replicas"` // of the stream; 1 if Embedded; 0 if not known
	Sync     SyncMode `json:"sync"`     // SyncUnknown unless Embedded
}

// Durability returns the durability of a stream that is kept in files with so many replicas. 0 or less means that the
// caller does not know the number. An embedded server always holds one replica.
func (rt *Runtime) Durability(replicas int) Durability {
	if rt.embedded != nil {
		return Durability{Embedded: true, Replicas: 1, Sync: rt.embedded.sync}
	}
	return Durability{Replicas: max(0, replicas), Sync: SyncUnknown}
}

// String says in words what a kill of a process, a power cut and a lost disk do.
func (d Durability) String() string {
	where := "cluster"
	if d.Embedded {
		where = "embedded server"
	}
	return fmt.Sprintf("%s, %s, sync %s. Kill: %s. Power cut: %s. Lost disk: %s.",
		where, d.copies(), d.Sync, d.kill(), d.powerCut(), d.lostDisk())
}

func (d Durability) copies() string {
	switch d.Replicas {
	case 0:
		return "replicas unknown"
	case 1:
		return "1 replica"
	default:
		return fmt.Sprintf("%d replicas", d.Replicas)
	}
}

// spare returns how many servers may fail while the stream goes on.
func (d Durability) spare() int { return max(0, (d.Replicas-1)/2) }

func (d Durability) kill() string {
	if n := d.spare(); n > 0 {
		return fmt.Sprintf("nothing acknowledged is lost, and %s may be down while the others go on", servers(n))
	}
	return "nothing acknowledged is lost, and the store is unavailable until the server is back"
}

func (d Durability) powerCut() string {
	var text strings.Builder
	if n := d.spare(); n > 0 {
		fmt.Fprintf(&text, "nothing acknowledged is lost if it hits %s at a time; if it hits more: ", servers(n))
	}
	switch d.Sync {
	case SyncGroup:
		text.WriteString("nothing is lost that a store or a bucket acknowledged; other messages of the last two minutes may be lost")
	case SyncAlways:
		text.WriteString("nothing acknowledged is lost")
	case SyncNone:
		text.WriteString("acknowledged messages of the last two minutes are lost, and a transaction may be torn")
	default:
		text.WriteString("unknown, ask your operator whether sync_interval is always")
	}
	return text.String()
}

func (d Durability) lostDisk() string {
	switch {
	case d.spare() > 0:
		return fmt.Sprintf("nothing is lost with the disks of %s", servers(d.spare()))
	case d.Replicas == 0:
		return "unknown, it depends on the replicas"
	default:
		return "everything since the last backup may be lost"
	}
}

func servers(n int) string {
	if n == 1 {
		return "1 server"
	}
	return fmt.Sprintf("%d servers", n)
}
