package kv

import (
	"context"
	"errors"
	"fmt"

	"github.com/runnel-go/runnel/internal/jsapi"
)

// GetMany returns the documents under the keys, by key. A key without a document is absent from the map. Keys may be
// repeated. It blocks as [Bucket.Get] does.
//
// Up to 1024 keys are read as they were at one point in time, and a batch is seen whole or not at all. As with Get,
// that point may be a few milliseconds in the past. More keys are read in parts of 1024, each as of its own point in
// time, and so are documents that exceed 32 MiB together. If the leader has one of the documents that the replica does
// not have, the replica is asked again. GetMany fails like Get, but never with ErrNotFound.
func (b *Bucket[T]) GetMany(ctx context.Context, keys ...string) (map[string]Entry[T], error) {
	return getMany[T](ctx, b.core, 0, keys)
}

// getMany is GetMany, answered by replicas that have the bucket up to a revision.
func getMany[T any](ctx context.Context, c *core, since uint64, keys []string) (map[string]Entry[T], error) {
	wanted := make(map[string]string, len(keys)) // keys by subject
	subjects := make([]string, 0, len(keys))
	for _, key := range keys {
		subject, err := c.subject("get", key)
		if err != nil {
			return nil, err
		}
		if _, again := wanted[subject]; !again {
			wanted[subject] = key
			subjects = append(subjects, subject)
		}
	}
	entries := make(map[string]Entry[T], len(subjects))
	for len(subjects) > 0 {
		part := subjects[:c.fitting(subjects)]
		found, whole, err := c.settled(ctx, part, since)
		if err != nil {
			return nil, c.readError("get", "", err)
		}
		for _, m := range found {
			if deleted(m.Header) {
				continue
			}
			entry, err := decode[T](c, "get", wanted[m.Subject], m)
			if err != nil {
				return nil, err
			}
			entries[entry.Key] = entry
		}
		subjects = append(unread(part, found, whole), subjects[len(part):]...)
	}
	return entries, nil
}

// many asks any replica for the newest messages of subjects. If there is too much for one answer, the result is not
// whole.
func (c *core) many(ctx context.Context, subjects []string) (found []jsapi.Message, whole bool, err error) {
	return c.manyThat(ctx, subjects, func(context.Context, jsapi.Part) error { return nil })
}

// settled is many, repeated until the replica has the bucket up to a revision, and the leader has nothing that the
// replica does not have.
func (c *core) settled(ctx context.Context, subjects []string, since uint64) (found []jsapi.Message, whole bool, err error) {
	return c.manyThat(ctx, subjects, func(ctx context.Context, part jsapi.Part) error {
		switch {
		case c.alone:
			return nil
		case part.UpTo > 0 && part.UpTo < since: // an empty answer does not say it
			return errBehind
		case part.Pending > 0:
			return nil
		}
		return c.confirmAbsent(ctx, part, without(subjects, part.Found))
	})
}

// manyThat is many, repeated until check returns no error that passes.
func (c *core) manyThat(
	ctx context.Context, subjects []string, check func(context.Context, jsapi.Part) error,
) (found []jsapi.Message, whole bool, err error) {
	var part jsapi.Part
	err = c.retry(ctx, "get", func(ctx context.Context) (err error) {
		part, err = c.client.DirectLastMany(ctx, c.stream, subjects, c.manyBytes)
		if err != nil {
			return c.absent(ctx, err)
		}
		return check(ctx, part)
	})
	switch {
	case err != nil:
		return nil, false, err
	case part.Pending > 0 && len(part.Found) == 0:
		return nil, false, errors.New("the server returned none of the documents it has")
	}
	return part.Found, part.Pending == 0, c.disk.Wait(ctx, lastOf(part.Found))
}

// errBehind says that a replica does not have something that it should have. That passes.
var errBehind = fmt.Errorf("%w: a replica is behind the leader", jsapi.ErrNoReply)

// confirmAbsent returns errBehind if the leader has a message of one of the subjects, of which a replica had none.
func (c *core) confirmAbsent(ctx context.Context, part jsapi.Part, absent []string) error {
	if len(absent) > 1 { // one request for all of them
		leader, err := c.client.LeaderInfo(ctx, c.stream, "", 0)
		if err != nil || part.UpTo >= leader.Last {
			return err
		}
	}
	for _, subject := range absent {
		_, err := c.leader(ctx, subject)
		switch {
		case err == nil:
			return errBehind
		case !errors.Is(err, jsapi.ErrNotFound):
			return err
		}
	}
	return nil
}

// lastOf returns the highest revision of the messages.
func lastOf(found []jsapi.Message) (revision uint64) {
	for _, m := range found {
		revision = max(revision, m.Sequence)
	}
	return revision
}

// fitting returns how many of the subjects one request may name, by their number and by the size of a message.
func (c *core) fitting(subjects []string) int {
	const quotes = len(`"",`)
	room := int(c.client.Session().MaxPayload()) - len(`{"multi_last":[],"max_bytes":33554432}`)
	for i, subject := range subjects {
		room -= len(subject) + quotes
		if i == jsapi.MaxLastMany || room < 0 && i > 0 {
			return i
		}
	}
	return len(subjects)
}

// unread returns the subjects that an answer does not contain because it was cut short.
func unread(asked []string, found []jsapi.Message, whole bool) []string {
	if whole {
		return nil
	}
	return without(asked, found)
}

// without returns the subjects that have no message.
func without(subjects []string, found []jsapi.Message) []string {
	answered := make(map[string]bool, len(found))
	for _, m := range found {
		answered[m.Subject] = true
	}
	var rest []string
	for _, subject := range subjects {
		if !answered[subject] {
			rest = append(rest, subject)
		}
	}
	return rest
}
