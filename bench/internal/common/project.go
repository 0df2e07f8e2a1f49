package common

import (
	"context"
	"encoding/json"

	"github.com/nats-io/nats.go/jetstream"
)

// Project keeps a read model in the simplest way: it reads the log from its start, and puts the document of
// each event into a KV bucket, one after the other. It has no checkpoint, so it begins at the start each time,
// and readers see the past again meanwhile. Document returns the key and the document. It keeps whatever it
// needs of earlier events.
func (s *Store) Project(ctx context.Context, bucket jetstream.KeyValue, document func(Recorded) (key string, doc any)) error {
	return s.All(ctx, func(r Recorded) error {
		key, doc := document(r)
		data, err := json.Marshal(doc)
		if err != nil {
			return err
		}
		_, err = bucket.Put(ctx, key, data)
		return err
	})
}
