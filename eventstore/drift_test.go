package eventstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// An operator edits the stream of a store that is open.
func TestSettingsThatDriftUnderAnOpenStoreAreNamed(t *testing.T) {
	for name, drift := range map[string]func(*jetstream.StreamConfig){
		"allow direct":             func(c *jetstream.StreamConfig) { c.AllowDirect = false },
		"allow atomic publish":     func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false },
		"subjects":                 func(c *jetstream.StreamConfig) { c.Subjects = []string{"bank.other.*"} },
		"max messages per subject": func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 },
		"discard":                  func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld },
		"max message size":         func(c *jetstream.StreamConfig) { c.MaxMsgSize = 10 },
		"max age":                  func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour },
		"subject transform": func(c *jetstream.StreamConfig) {
			c.SubjectTransform = &jetstream.SubjectTransformConfig{Source: "bank.*.*", Destination: "bank.x.{{wildcard(2)}}"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js := eventstoretest.JetStream(t)
			store := openWith(t, js, nil)
			_, err := store.Append(t.Context(), account("a"), eventstore.Head{}, opened{"Ada"})
			require.NoError(t, err)
			stream, err := js.Stream(t.Context(), "bank")
			require.NoError(t, err)
			whole := stream.CachedInfo().Config
			drifted := whole
			drift(&drifted)
			_, err = js.UpdateStream(t.Context(), drifted)
			require.NoError(t, err)
			requireDrift := func(err error) {
				t.Helper()
				require.ErrorIs(t, err, eventstore.ErrSettings)
				require.ErrorContains(t, err, name)
				require.ErrorContains(t, err, "nats stream edit bank")
			}
			begin := time.Now()
			var head eventstore.Head
			require.Eventually(t, func() bool {
				c, err := store.Append(t.Context(), account("b"), head, deposited{1})
				if err == nil {
					head = c.Head()
				}
				return errors.Is(err, eventstore.ErrSettings)
			}, 20*time.Second, 10*time.Millisecond)
			require.Less(t, time.Since(begin), 5*time.Second, "it is not waited out")
			_, err = store.Append(t.Context(), account("b"), head, deposited{1})
			requireDrift(err)
			_, err = store.Load(t.Context(), account("a"))
			requireDrift(err)
			requireDrift(errorOf(store.Log(t.Context())))
			requireDrift(health(t.Context(), store))

			_, err = js.UpdateStream(t.Context(), whole)
			if name == "max messages per subject" || name == "discard" || err != nil {
				return // what was deleted stays so
			}
			history, err := store.Load(t.Context(), account("c"))
			require.NoError(t, err)
			_, err = store.Append(t.Context(), account("c"), history.Head, opened{"Eve"})
			require.NoError(t, err, "the settings are put back")
		})
	}
}

// A reader that meets a hole looks for the setting that made it.
func TestAHoleThatASettingMadeIsNamed(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store := openWith(t, js, nil)
	c, err := store.Append(t.Context(), account("a"), eventstore.Head{}, opened{"Ada"})
	require.NoError(t, err)
	for range 3 {
		c, err = store.Append(t.Context(), account("a"), c.Head(), deposited{1})
		require.NoError(t, err)
	}
	stream, err := js.Stream(t.Context(), "bank")
	require.NoError(t, err)
	cfg := stream.CachedInfo().Config
	cfg.MaxMsgsPerSubject = 1
	_, err = js.UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
	for what, err := range map[string]error{"the log": errorOf(store.Log(t.Context())), "a stream": errorOf(store.Stream(t.Context(), account("a")))} {
		require.ErrorIs(t, err, eventstore.ErrSettings, what)
		require.ErrorContains(t, err, "max messages per subject", what)
	}
}

// The limit of the stream is not the server's.
func TestACommitAboveTheLimitOfItsStreamIsToldByThat(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store := openWith(t, js, nil)
	stream, err := js.Stream(t.Context(), "bank")
	require.NoError(t, err)
	cfg := stream.CachedInfo().Config
	cfg.MaxMsgSize = 10
	_, err = js.UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
	_, err = store.Append(t.Context(), account("a"), eventstore.Head{}, opened{"Ada"})
	require.ErrorIs(t, err, eventstore.ErrSettings)
	require.ErrorContains(t, err, "max message size")
}
