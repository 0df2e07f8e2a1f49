package projection

import (
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/internal/plain"
)

// spec is what a View was opened with. Nothing of it changes, so that all parts of the View share it.
type spec[V any] struct {
	store       *eventstore.Store
	name        string
	foldVersion int
	runner      string // who this is, for other runners
	rules       *rules[V]
	shape       *plain.Shape // of the documents; nil if their codec is the caller's
	shared      bool         // documents share memory with their copies
	perStream   bool         // each document is folded from the events of one stream alone, like the documents of sagas
	cfg         Config
	logger      *slog.Logger
}

func (s *spec[V]) metadata() map[string]string {
	return map[string]string{metadataStore: s.store.Identity(), metadataView: s.name}
}

func (s *spec[V]) conn() *nats.Conn { return s.store.JetStream().Conn() }

// server is the id of the server that the connection is to, or empty if there is no connection. A server that was
// restarted has another id. It may have come up from a power cut, so what it lost, or has half of, is looked for.
func (s *spec[V]) server() string { return s.conn().ConnectedServerId() }

// ended returns the error with which everything of the store has ended, or nil. It asks no server.
func (s *spec[V]) ended() error { return eventstore.Inside(inside.Pass{}, s.store).Err() }

// failed says which view an error is of.
func (s *spec[V]) failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("projection: view %s: %w", s.name, err)
}
