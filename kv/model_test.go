package kv_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/proptest"
	"github.com/runnel-go/runnel/kv"
)

// TestABucketBehavesAsAMap does random writes on a bucket and on a map of entries, and compares after each.
func TestABucketBehavesAsAMap(t *testing.T) {
	proptest.Runs(t, 30)
	js := eventstoretest.JetStream(t)
	names := 0
	rapid.Check(t, func(rt *rapid.T) {
		names++
		name := fmt.Sprintf("docs%d", names)
		b, err := kv.Open[doc](t.Context(), js, name, &kv.Config{Storage: jetstream.MemoryStorage})
		require.NoError(rt, err)
		m := &model{t: t, bucket: b, entries: map[string]kv.Entry[doc]{}, deletions: map[string]uint64{}}
		rt.Repeat(map[string]func(*rapid.T){
			"put": m.put, "create": m.create, "update": m.update, "delete": m.delete, "delete revision": m.deleteRevision,
			"modify": m.modify, "batch": m.batch, "": m.check,
		})
		require.NoError(rt, b.Close())
		require.NoError(rt, js.DeleteKeyValue(t.Context(), name))
	})
}

// TestABucketBehavesAsAMapThoughItsServerDies has two more actions: it kills the server, and opens the bucket again.
func TestABucketBehavesAsAMapThoughItsServerDies(t *testing.T) {
	proptest.Runs(t, 2)
	server := eventstoretest.NewProcess(t, t.TempDir())
	js := server.JetStream(t)
	names := 0
	rapid.Check(t, func(rt *rapid.T) {
		names++
		name := fmt.Sprintf("docs%d", names)
		reopen := func(rt *rapid.T) *kv.Bucket[doc] {
			b, err := kv.Open[doc](t.Context(), js, name, nil)
			require.NoError(rt, err)
			return b
		}
		m := &model{t: t, bucket: reopen(rt), entries: map[string]kv.Entry[doc]{}, deletions: map[string]uint64{}}
		rt.Repeat(map[string]func(*rapid.T){
			"put": m.put, "create": m.create, "update": m.update, "delete": m.delete, "delete revision": m.deleteRevision,
			"modify": m.modify, "batch": m.batch, "": m.check,
			"crash": func(rt *rapid.T) {
				server.Restart() // kills it first
				require.Eventually(rt, js.Conn().IsConnected, 20*time.Second, time.Millisecond)
			},
			"reopen": func(rt *rapid.T) {
				require.NoError(rt, m.bucket.Close())
				m.bucket = reopen(rt)
			},
		})
		require.NoError(rt, m.bucket.Close())
	})
}

type model struct {
	t         *testing.T
	bucket    *kv.Bucket[doc]
	entries   map[string]kv.Entry[doc]
	deletions map[string]uint64 // the revisions of keys whose last write is a deletion
	last      uint64
}

var (
	someKey = rapid.SampledFrom([]string{"a", "a.b", "=", "é", "a b"})
	someDoc = rapid.Custom(func(t *rapid.T) doc { return doc{N: rapid.Int().Draw(t, "n"), Text: rapid.String().Draw(t, "text")} })
)

// revision draws the present revision of a key, or another one.
func (m *model) revision(rt *rapid.T, key string) uint64 {
	if rapid.Bool().Draw(rt, "present") {
		return m.entries[key].Revision
	}
	return rapid.Uint64Range(0, m.last+1).Draw(rt, "revision")
}

// wrote checks the outcome of a conditional write, and notes what was written.
func (m *model) wrote(rt *rapid.T, key string, value doc, expected, revision uint64, err error) {
	actual := m.entries[key].Revision
	if expected == actual || expected != 0 && expected == m.deletions[key] {
		require.NoError(rt, err)
		require.Greater(rt, revision, m.last)
		m.last = revision
		m.entries[key] = kv.Entry[doc]{Key: key, Value: value, Revision: revision}
		delete(m.deletions, key)
		return
	}
	var conflict *kv.ConflictError
	require.ErrorAs(rt, err, &conflict)
	require.Equal(rt, expected, conflict.Expected)
	require.Equal(rt, actual, conflict.Actual)
}

func (m *model) put(rt *rapid.T) {
	key, value := someKey.Draw(rt, "key"), someDoc.Draw(rt, "doc")
	revision, err := m.bucket.Put(m.t.Context(), key, value)
	m.wrote(rt, key, value, m.entries[key].Revision, revision, err)
}

func (m *model) create(rt *rapid.T) {
	key, value := someKey.Draw(rt, "key"), someDoc.Draw(rt, "doc")
	revision, err := m.bucket.Create(m.t.Context(), key, value)
	m.wrote(rt, key, value, 0, revision, err)
}

func (m *model) update(rt *rapid.T) {
	key, value := someKey.Draw(rt, "key"), someDoc.Draw(rt, "doc")
	expected := m.revision(rt, key)
	revision, err := m.bucket.Update(m.t.Context(), key, value, expected)
	m.wrote(rt, key, value, expected, revision, err)
}

func (m *model) modify(rt *rapid.T) {
	key, add := someKey.Draw(rt, "key"), someDoc.Draw(rt, "doc")
	before, present := m.entries[key]
	value, revision, err := m.bucket.Modify(m.t.Context(), key, func(d doc, found bool) (doc, error) {
		require.Equal(rt, present, found)
		require.Equal(rt, before.Value, d)
		return doc{N: d.N + add.N, Text: add.Text}, nil
	})
	require.Equal(rt, before.Value.N+add.N, value.N)
	m.wrote(rt, key, value, before.Revision, revision, err)
}

func (m *model) batch(rt *rapid.T) {
	batch := m.bucket.Batch()
	written := map[string]doc{}
	var order []string
	for _, key := range rapid.SliceOfNDistinct(someKey, 1, 4, rapid.ID).Draw(rt, "keys") {
		written[key] = someDoc.Draw(rt, "doc")
		batch.Update(key, written[key], m.entries[key].Revision)
		order = append(order, key)
	}
	last, err := batch.Commit(m.t.Context())
	require.NoError(rt, err)
	for i, key := range order {
		m.wrote(rt, key, written[key], m.entries[key].Revision, last-uint64(len(order)-1-i), err)
	}
}

func (m *model) delete(rt *rapid.T) {
	key := someKey.Draw(rt, "key")
	require.NoError(rt, m.bucket.Delete(m.t.Context(), key))
	delete(m.entries, key)
	m.last++
	m.deletions[key] = m.last
}

func (m *model) deleteRevision(rt *rapid.T) {
	key := someKey.Draw(rt, "key")
	expected := m.entries[key].Revision
	if expected == 0 {
		rt.Skip("nothing to delete")
	}
	stale := rapid.Bool().Draw(rt, "stale")
	if stale {
		expected++
	}
	err := m.bucket.DeleteRevision(m.t.Context(), key, expected)
	if stale {
		require.ErrorIs(rt, err, kv.ErrConflict)
		return
	}
	require.NoError(rt, err)
	delete(m.entries, key)
	m.last++
	m.deletions[key] = m.last
}

func (m *model) check(rt *rapid.T) {
	listed := map[string]kv.Entry[doc]{}
	for entry, err := range m.bucket.List(m.t.Context()) {
		require.NoError(rt, err)
		entry.Time = m.entries[entry.Key].Time
		listed[entry.Key] = entry
	}
	require.Equal(rt, m.entries, listed)
	key := someKey.Draw(rt, "key")
	entry, err := m.bucket.Get(m.t.Context(), key)
	if want, present := m.entries[key]; present {
		require.NoError(rt, err)
		require.Equal(rt, want.Value, entry.Value)
		require.Equal(rt, want.Revision, entry.Revision)
		return
	}
	require.ErrorIs(rt, err, kv.ErrNotFound)
}
