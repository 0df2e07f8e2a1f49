package eventstore

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"github.com/google/uuid"
)

// newID returns a UUID of version 7 (RFC 9562): 48 bits of milliseconds since 1970, and 74 random bits. uuid.NewV7 does
// the same with an allocation, and with a lock that keeps ids in order. Commits do not need that, because positions
// order them.
func newID(now time.Time) (id uuid.UUID) {
	_, _ = rand.Read(id[6:]) // it never fails
	var stamp [8]byte
	binary.BigEndian.PutUint64(stamp[:], uint64(now.UnixMilli())<<16)
	copy(id[:6], stamp[:6])
	id[6] = id[6]&0x0f | 7<<4
	id[8] = id[8]&0x3f | 2<<6
	return id
}
