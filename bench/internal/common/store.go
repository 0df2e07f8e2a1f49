package common

import (
	"context"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// Store keeps the events of one bounded context in one JetStream stream. Its methods may be called from several
// goroutines at once.
type Store struct {
	js    jetstream.JetStream
	name  string
	types map[string]func(data []byte) (Event, error)

	batches chan struct{} // one for each atomic batch under way
}

// maxBatches is the number of atomic batches under way at a time. The server takes 50 for each stream, and
// fails further ones.
const maxBatches = 32

// Open makes the store, or binds the existing one of that name. The name becomes the first token of all
// subjects.
func Open(
	ctx context.Context, js jetstream.JetStream, name string, replicas int, storage jetstream.StorageType, types ...Type,
) (*Store, error) {
	_, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name:               name,
		Subjects:           []string{name + ".>"},
		Replicas:           replicas,
		Storage:            storage,
		AllowAtomicPublish: true,
	})
	if err != nil {
		return nil, fmt.Errorf("common: open %s: %w", name, err)
	}
	s := &Store{js: js, name: name, types: make(map[string]func([]byte) (Event, error), len(types)), batches: make(chan struct{}, maxBatches)}
	for _, t := range types {
		s.types[t.name] = t.decode
	}
	return s, nil
}

// history is the filter that matches all events of a stream, "account.42". Every reader and writer must use the
// same bytes, because the server distinguishes expectations in flight by their text.
func (s *Store) history(stream string) (filter string, err error) {
	category, id, found := strings.Cut(stream, ".")
	if !found || category == "" || id == "" || strings.ContainsAny(stream, "*> \t\r\n") || strings.Contains(id, ".") {
		return "", fmt.Errorf("%q names no stream: want category.id, without dots, spaces and wildcards", stream)
	}
	return s.name + "." + stream + ".>", nil
}

// streamOf returns the stream of a message's subject.
func (s *Store) streamOf(subject string) (string, error) {
	rest, ok := strings.CutPrefix(subject, s.name+".")
	category, rest, more := strings.Cut(rest, ".")
	id, _, whole := strings.Cut(rest, ".")
	if !ok || !more || !whole {
		return "", fmt.Errorf("subject %s is not one of store %s", subject, s.name)
	}
	return category + "." + id, nil
}
