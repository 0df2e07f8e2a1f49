package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/vmihailenco/msgpack/v5"
)

// logStream is the JetStream stream of the log.
const logStream = "bank"

// message is one message of the log, as it stands in the stream.
type message struct {
	position uint64
	category string
	id       string
	commit
}

// guard reports whether the message only guards a transaction.
func (m *message) guard() bool { return m.category == "runnel" }

// commit is the body of an envelope. docs/wire-format.md describes it, and the order of its fields.
type commit struct {
	ID          []byte
	Time        int64
	First       uint64
	Links       []uint64
	Correlation string
	Causation   string
	Actor       string
	Key         string
	KeyHash     []byte
	Trace       []string
	User        map[string]string
	Transaction *transaction
	Events      []event
}

type transaction struct {
	ID           []byte
	Index, Count int
}

// event is one event of a commit.
type event struct {
	Type string
	Data []byte
}

// batch is how many messages are asked for at once.
const batch = 500

// readLog reads all messages of the log up to its end, from whichever node answers.
func readLog(ctx context.Context, c *cluster) ([]message, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("the log cannot be read to its end"))
	defer cancel()
	stream, err := c.js.Stream(ctx, logStream)
	if err != nil {
		return nil, fmt.Errorf("ask where the log ends: %w", err)
	}
	end := stream.CachedInfo().State.LastSeq
	var all []message
	for next := uint64(1); next <= end; {
		some, err := readBatch(c.admin, next)
		switch {
		case ctx.Err() != nil:
			return nil, fmt.Errorf("at position %d of %d: %w: %w", next, end, context.Cause(ctx), err)
		case err != nil || len(some) == 0:
			pause(ctx, 50*time.Millisecond) // that node has less of the log, or is away
			continue
		}
		for _, m := range some {
			if m.position != next {
				return nil, fmt.Errorf("position %d is missing: %d comes in its place", next, m.position)
			}
			next++
		}
		all = append(all, some...)
	}
	return all, nil
}

// readBatch reads messages from a position on.
func readBatch(conn *nats.Conn, from uint64) (some []message, err error) {
	request, err := json.Marshal(map[string]any{"seq": from, "next_by_subj": logStream + ".>", "batch": batch})
	if err != nil {
		return nil, err
	}
	inbox := conn.NewRespInbox()
	answers, err := conn.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, answers.Unsubscribe()) }()
	if err := conn.PublishRequest("$JS.API.DIRECT.GET."+logStream, inbox, request); err != nil {
		return nil, err
	}
	for {
		answer, err := answers.NextMsg(2 * time.Second)
		if err != nil {
			return nil, err
		}
		if status := answer.Header.Get("Status"); status != "" {
			return some, nil // the end of the batch, or there is nothing
		}
		m, err := decode(answer)
		if err != nil {
			return nil, err
		}
		some = append(some, m)
	}
}

// decode decodes a message as docs/wire-format.md says.
func decode(answer *nats.Msg) (m message, err error) {
	if m.position, err = strconv.ParseUint(answer.Header.Get("Nats-Sequence"), 10, 64); err != nil {
		return m, err
	}
	tokens := strings.Split(answer.Header.Get("Nats-Subject"), ".")
	if len(tokens) != 3 {
		return m, fmt.Errorf("position %d has subject %q", m.position, answer.Header.Get("Nats-Subject"))
	}
	m.category, m.id = tokens[1], tokens[2]
	var envelope struct {
		Format uint
		Sum    uint32
		Body   []byte
	}
	if err := msgpack.Unmarshal(answer.Data, &envelope); err != nil {
		return m, fmt.Errorf("position %d: %w", m.position, err)
	}
	if sum := crc32.Checksum(envelope.Body, crc32.MakeTable(crc32.Castagnoli)); envelope.Format != 1 || sum != envelope.Sum {
		return m, fmt.Errorf("position %d: format %d, checksum %x instead of %x", m.position, envelope.Format, sum, envelope.Sum)
	}
	if err := msgpack.Unmarshal(envelope.Body, &m.commit); err != nil {
		return m, fmt.Errorf("position %d: %w", m.position, err)
	}
	return m, nil
}
