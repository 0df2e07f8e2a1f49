package runner

import (
	"context"
	"fmt"

	"github.com/runnel-go/runnel/kv"
)

// smallestRoom is the room for one document and the record that parks its key.
const smallestRoom = 2

// RoomIn returns the number of documents that the server takes in one batch of a bucket, beside the checkpoint.
// It returns an error that matches ErrTooManyDocuments if there is no room for one document and its parking
// record.
func RoomIn[V any](ctx context.Context, documents *kv.Bucket[V]) (int, error) {
	limit, err := documents.MaxBatch(ctx)
	if err != nil {
		return 0, err
	}
	if limit-1 < smallestRoom {
		return 0, fmt.Errorf("bucket %s: %w: the server takes %d messages in one batch, %d are needed: raise max_batch_size",
			documents.Name(), ErrTooManyDocuments, limit, smallestRoom+1)
	}
	return limit - 1, nil
}
