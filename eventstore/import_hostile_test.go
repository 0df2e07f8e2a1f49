package eventstore

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
)

// sound is an archive of two commits and a document that Import takes.
func sound(t *testing.T) []frame {
	t.Helper()
	payload, err := with(&Commit{First: 1, Time: time.Unix(1, 0)}, "a", 0x80).encode(0)
	require.NoError(t, err)
	return []frame{
		headerFrame{Store: "bank", Identity: "01938d6e-7a10-7000-8000-0000000000a1", Codec: Msgpack, Layout: layoutFormat, Buckets: []string{"view"}},
		bucketFrame{Name: "view", History: 1, MaxBytes: -1, MaxSize: -1},
		messageFrame{Key: "x", Header: []string{"KV-Operation", "DEL"}},
		logFrame{End: 2},
		commitFrame{Position: 1, Stream: "account.a", Payload: payload},
		commitFrame{Position: 2, Stream: "account.b", Payload: payload},
		trailerFrame{Commits: 2, Messages: 1},
	}
}

// An archive may be made by anybody. Its checksums hold, and still nothing gets into a server that Export would not
// write.
func TestAnArchiveThatNoExportWritesIsRefused(t *testing.T) {
	js := eventstoretest.JetStream(t)
	_, err := Import(t.Context(), js, bytes.NewReader(archiveOf(t, sound(t))), nil)
	require.NoError(t, err)

	put := func(at int, f frame) func([]frame) []frame {
		return func(all []frame) []frame { all[at] = f; return all }
	}
	header := func(edit func(*headerFrame)) func([]frame) []frame {
		return func(all []frame) []frame {
			h := all[0].(headerFrame)
			edit(&h)
			all[0] = h
			return all
		}
	}
	commit := sound(t)[4].(commitFrame)
	for name, c := range map[string]struct {
		change func([]frame) []frame
		says   string
	}{
		"no header":               {func(all []frame) []frame { return all[1:] }, "does not begin with a header"},
		"a header inside":         {func(all []frame) []frame { return slices.Insert(all, 3, all[0]) }, "kind 0 is out of place"},
		"another layout":          {header(func(h *headerFrame) { h.Layout++ }), "store is of format"},
		"another codec":           {header(func(h *headerFrame) { h.Codec = "xml" }), `codec is "xml"`},
		"no identity":             {header(func(h *headerFrame) { h.Identity = "me" }), `identity is "me"`},
		"a bucket named >":        {header(func(h *headerFrame) { h.Buckets[0] = ">" }), `buckets are [">"]`},
		"a bucket that is new":    {put(1, bucketFrame{Name: "other", History: 1}), "kind 1 is out of place"},
		"a bucket too few":        {func(all []frame) []frame { return slices.Delete(all, 1, 3) }, "kind 3 is out of place"},
		"a bucket without room":   {put(1, bucketFrame{Name: "view"}), "kind 1 is out of place"},
		"a document of no bucket": {func(all []frame) []frame { return slices.Insert(all, 4, all[2]) }, "kind 2 is out of place"},
		"a wildcard key":          {put(2, messageFrame{Key: ">"}), `key ">" cannot be one`},
		"a key with a blank":      {put(2, messageFrame{Key: "a b"}), `key "a b" cannot be one`},
		"a rollup":                {put(2, messageFrame{Key: "x", Header: []string{"Nats-Rollup", "all"}}), `header "Nats-Rollup" is not a document's`},
		"a rollup in small":       {put(2, messageFrame{Key: "x", Header: []string{"nats-rollup", "all"}}), `header "nats-rollup" is not a document's`},
		"half a header":           {put(2, messageFrame{Key: "x", Header: []string{"KV-Operation"}}), "a header name without a value"},
		"a commit too early":      {func(all []frame) []frame { return slices.Insert(all, 1, all[4]) }, "kind 4 is out of place"},
		"a position left out":     {func(all []frame) []frame { return slices.Delete(all, 4, 5) }, "kind 4 is out of place"},
		"an erasure":              {put(4, erasedFrame{Position: 1}), "kind 5 is out of place"},
		"a subject of others":     {put(4, commitFrame{Position: 1, Stream: "a.b.c", Payload: commit.Payload}), "archive at byte"},
		"a wildcard subject":      {put(4, commitFrame{Position: 1, Stream: "account.>", Payload: commit.Payload}), "archive at byte"},
		"a payload that is none":  {put(4, commitFrame{Position: 1, Stream: "account.a", Payload: []byte("x")}), "log corrupt"},
		"two logs":                {func(all []frame) []frame { return slices.Insert(all, 4, all[3]) }, "kind 3 is out of place"},
		"no log":                  {func(all []frame) []frame { return append(all[:3], all[6]) }, "kind 6 is out of place"},
		"counts":                  {put(6, trailerFrame{Commits: 3, Messages: 1}), "counts do not hold"},
		"counts of documents":     {put(6, trailerFrame{Commits: 2}), "counts do not hold"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, stream := range []string{"bank", "KV_view"} {
				err := js.DeleteStream(t.Context(), stream)
				if err != nil {
					require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
				}
			}
			_, err := Import(t.Context(), js, bytes.NewReader(archiveOf(t, c.change(sound(t)))), nil)
			require.ErrorIs(t, err, ErrArchive)
			require.ErrorContains(t, err, c.says)
		})
	}
}
