package eventstore

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/system"
)

// StreamInfo is one entry of a list of streams.
type StreamInfo struct {
	Stream  StreamID
	Commits int64 // in the log, with the remainders of torn transactions and the messages of other programs
}

// Streams yields the streams of a category. With "" it yields the streams of all categories except the toolkit's own
// ("runnel"). They come in the order of their subjects' bytes, which is the same at every call. That is also the
// order of the ids, if they consist of letters, digits, - and _. A stream that exists during all of the call is
// yielded, and none is yielded twice. A stream that is begun meanwhile may be missed. Closed and erased streams are
// also yielded.
//
// The list comes from the stream's leader in pages of 100,000. For each page the server gathers and sorts all streams
// of the category, even if the read begins [Behind] one. With a million streams each page takes over a second of
// processor time, and appends wait for most of it: see docs/measurements.md. On failure Streams yields one error and
// ends: an error that matches ErrInvalidID, ErrNoPermission, ErrUnavailable or ErrCorrupt, or the cause of ctx.
func (s *Store) Streams(ctx context.Context, category string, options ...StreamsOption) iter.Seq2[StreamInfo, error] {
	o := readOptionsOf(options)
	return func(yield func(StreamInfo, error) bool) {
		l, err := s.log.newListing(category, o)
		if err != nil {
			yield(StreamInfo{}, err)
			return
		}
		for subject, err := range l.subjects(ctx) {
			var info StreamInfo
			if err != nil {
				yield(StreamInfo{}, err)
				return
			}
			if info.Stream, err = parseSubject(s.conn.store, subject.name); err != nil {
				// No commit was ever stored there.
				s.fetcher.passForeign(ctx, &foreignError{Store: s.conn.store, Subject: subject.name})
				continue
			}
			info.Commits = int64(subject.messages)
			if category == "" && info.Stream.Category == system.Category || info.Stream == guardStream {
				continue
			}
			if !yield(info, nil) {
				return
			}
		}
	}
}

// listing is one walk over the subjects that have messages.
type listing struct {
	page func(ctx context.Context, offset int) (jsapi.Info, error)
	last string // the last subject that is done
}

func (l *log) newListing(category string, o readOptions) (*listing, error) {
	filter := l.conn.store + ".*.*"
	if category != "" {
		if err := checkCategory(category); err != nil {
			return nil, err
		}
		filter = l.conn.store + "." + category + ".*"
	}
	walk := &listing{}
	if o.behind != nil {
		var err error
		if walk.last, err = o.behind.subject(l.conn.store); err != nil {
			return nil, err
		}
	}
	walk.page = func(ctx context.Context, offset int) (page jsapi.Info, err error) {
		err = l.conn.patiently(ctx, "list streams of "+l.conn.store, func() error {
			if err := l.trust.trusted(ctx); err != nil {
				return err
			}
			page, err = l.conn.api.LeaderInfo(ctx, l.conn.store, filter, offset)
			if err != nil {
				return err
			}
			return l.conn.onDisk(ctx, Position(page.Last))
		})
		return page, err
	}
	return walk, nil
}

// subjectTotal is a subject and how many messages it has.
type subjectTotal struct {
	name     string
	messages uint64
}

// subjects yields the subjects after l.last in the order of their bytes. Pages are cut by number, so a subject that
// comes or goes between two pages moves the rest. Each page overlaps the one before. If it does not reach back that
// far, because earlier subjects have gone, it is asked for again from further before.
func (l *listing) subjects(ctx context.Context) iter.Seq2[subjectTotal, error] {
	return func(yield func(subjectTotal, error) bool) {
		for offset, back := 0, 1; ; {
			page, err := l.page(ctx, offset)
			if err != nil {
				yield(subjectTotal{}, err)
				return
			}
			names := slices.Sorted(maps.Keys(page.Subjects))
			if offset > 0 && (len(names) == 0 || strings.Compare(names[0], l.last) > 0) {
				offset, back = max(offset-back, 0), 2*back
				continue
			}
			for _, name := range names {
				if name <= l.last {
					continue
				}
				l.last = name
				if !yield(subjectTotal{name, page.Subjects[name]}, nil) {
					return
				}
			}
			if offset+len(names) >= page.Total {
				return
			}
			offset, back = offset+len(names)-1, 1
		}
	}
}
