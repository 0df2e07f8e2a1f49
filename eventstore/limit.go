package eventstore

import (
	"context"
	"fmt"

	"github.com/runnel-go/runnel/internal/jsapi"
)

const (
	// maxTransaction is how many streams a transaction may have: as many as a view by stream can write together with
	// its checkpoint, so that readers of the view see the transaction whole.
	maxTransaction = jsapi.MaxBatch - 1

	// headerRoom is kept free for the header, which the server's limit counts as well. The expectation takes up to 71
	// bytes. In a transaction the batch's id takes 53, the sequence 27 and the end 22.
	headerRoom = 256

	// maxRecord is the largest payload that the server's file store takes, whatever max_payload allows: a record of 32
	// MiB, with the subject of up to 512 bytes and 34 of its own. Above it the server says that it is full.
	maxRecord = 32<<20 - 1024
)

// limit is how many bytes a stored commit may have. It follows the server's max_payload at the last connect.
func (c *conn) limit() int64 { return commitLimit(c.api.Session().MaxPayload()) }

func commitLimit(maxPayload int64) int64 { return min(maxPayload, maxRecord) - headerRoom }

// adviseSmaller says what to do about a commit of size bytes, which is above the limit.
func (wr *writer) adviseSmaller(size int) string {
	compress := "compress it (Config.CompressAbove), "
	if wr.conn.cfg.CompressAbove > 0 {
		compress = ""
	}
	return fmt.Sprintf("the commit has %d bytes and the server takes %d: "+
		"write fewer or smaller events, %skeep documents outside (docs/guides/payloads.md), or raise max_payload",
		size, wr.conn.limit(), compress)
}

// batchLimit asks how many messages the server takes in one batch to a subject.
func (c *conn) batchLimit(ctx context.Context, subject string) (limit int, err error) {
	err = c.insist(ctx, c.cfg.AckTimeout, "ask how many messages a batch may have", func() error {
		limit, err = c.api.BatchLimit(ctx, subject, c.cfg.AckTimeout)
		return err
	})
	return limit, err
}

// adviseFewer says what to do about a transaction of more messages than the server takes in a batch.
func (wr *writer) adviseFewer(ctx context.Context, writes []jsapi.Write) string {
	takes := "fewer"
	if limit, err := wr.conn.batchLimit(ctx, writes[0].Subject); err == nil {
		takes = fmt.Sprint(limit)
	}
	return fmt.Sprintf("the transaction has %d messages and the server takes %s in one batch: "+
		"write fewer streams at once, or raise max_batch_size", len(writes), takes)
}
