package projection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/protocol"
	"github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/kv"
)

// One document decides everything about a view, its record. It is in the store's control bucket, where any NATS client
// finds it, and it is changed by compare-and-set only:
//
//	bucket bank_control
//	key view.balances    {"store":"0198...","term":7,"bucket":"bank_balances_v2_9f86d081","folds":{
//	                       "1":{"serving":"bank_balances_v1_60303ae2",...},
//	                       "2":{"serving":"bank_balances_v2_9f86d081","building":"bank_balances_v2_1c0ffee1",...}}}
//
// Package protocol says which changes are allowed.

// record is what serves, what is built, and what operators want.
type record struct {
	Store  string       `json:"store"`            // the store's identity
	Term   uint64       `json:"term"`             // rises with each change
	Bucket string       `json:"bucket,omitempty"` // of the newest fold version that is built: what other clients read
	Paused bool         `json:"paused,omitempty"`
	Attend uint64       `json:"attend,omitempty"` // raised when a wish was written into a parked document
	Folds  map[int]fold `json:"folds,omitempty"`  // by fold version
}

// fold is the part of a record that belongs to one fold version. Buckets have the names of builds in package protocol.
type fold struct {
	Serving  string              `json:"serving,omitempty"`
	Since    time.Time           `json:"since,omitzero"`     // when readers were led to what serves
	Position eventstore.Position `json:"position,omitempty"` // of what serves, at that time
	Building string              `json:"building,omitempty"`
	Builder  string              `json:"builder,omitempty"` // the runner that builds
	Closing  bool                `json:"closing,omitempty"` // the build is about to retire what serves: runners let it
}

// Version says which bucket serves a fold version of a view.
type Version struct {
	FoldVersion int
	Bucket      string
	Build       string              // the id of the build that filled the bucket
	Since       time.Time           // when readers were led to it
	Position    eventstore.Position // of the bucket at that time
}

// slot is what package protocol knows of one fold version.
func (r record) slot(foldVersion int) protocol.Slot[string] {
	f := r.Folds[foldVersion]
	return protocol.Slot[string]{Serving: f.Serving, Building: f.Building, Paused: r.Paused}
}

// version returns what serves a fold version, and false if nothing does.
func (r record) version(foldVersion int) (Version, bool) {
	f := r.Folds[foldVersion]
	if f.Serving == "" {
		return Version{}, false
	}
	return Version{
		FoldVersion: foldVersion, Bucket: f.Serving, Build: buildOf(f.Serving), Since: f.Since, Position: f.Position,
	}, true
}

// newestBelow returns what serves the newest fold version that is built and lower than another one.
func (r record) newestBelow(foldVersion int) (newest Version, ok bool) {
	for at := range r.Folds {
		if v, serves := r.version(at); serves && at < foldVersion && at > newest.FoldVersion {
			newest, ok = v, true
		}
	}
	return newest, ok
}

// uses reports whether a bucket serves a fold version or is built for one.
func (r record) uses(bucket string) bool {
	for _, f := range r.Folds {
		if f.Serving == bucket || f.Building == bucket {
			return true
		}
	}
	return false
}

// with returns the record with another fold.
func (r record) with(foldVersion int, f fold) record {
	r.Folds = maps.Clone(r.Folds)
	if r.Folds == nil {
		r.Folds = make(map[int]fold, 1)
	}
	if r.Folds[foldVersion] = f; f == (fold{}) {
		delete(r.Folds, foldVersion)
	}
	r.Bucket = ""
	newest := 0
	for at, f := range r.Folds {
		if f.Serving != "" && at > newest {
			newest, r.Bucket = at, f.Serving
		}
	}
	return r
}

// take returns the place of the build to a bucket that a runner is about to fill.
func (r record) take(foldVersion int, bucket, runner string) record {
	f := r.Folds[foldVersion]
	f.Building, f.Builder, f.Closing = r.slot(foldVersion).Take(bucket).Building, runner, false
	return r.with(foldVersion, f)
}

// abort takes the place from the build that has it.
func (r record) abort(foldVersion int) record {
	f := r.Folds[foldVersion]
	f.Building, f.Builder, f.Closing = r.slot(foldVersion).Abort().Building, "", false
	return r.with(foldVersion, f)
}

// close tells runners that the build is about to retire what serves. It returns false if the build does not have the
// place.
func (r record) close(foldVersion int, bucket string) (record, bool) {
	f := r.Folds[foldVersion]
	if f.Building != bucket || f.Closing {
		return r, false
	}
	f.Closing = true
	return r.with(foldVersion, f), true
}

// flip leads readers to a build. It returns false if the build does not have the place.
func (r record) flip(to Version) (record, bool) {
	slot, ok := r.slot(to.FoldVersion).Flip(to.Bucket)
	if !ok {
		return r, false
	}
	return r.with(to.FoldVersion, fold{Serving: slot.Serving, Since: to.Since, Position: to.Position, Building: slot.Building}), true
}

// withdraw takes back that a bucket serves. It returns false if the bucket does not serve.
func (r record) withdraw(damaged Version) (record, bool) {
	f := r.Folds[damaged.FoldVersion]
	if f.Serving != damaged.Bucket {
		return r, false
	}
	return r.with(damaged.FoldVersion, fold{Building: f.Building, Builder: f.Builder, Closing: f.Closing}), true
}

// records reads and changes the record of one view.
type records struct {
	bucket *kv.Bucket[record]
	key    string
	store  *eventstore.Store
	logger *slog.Logger
}

func openRecords(ctx context.Context, store *eventstore.Store, view string, logger *slog.Logger) (*records, error) {
	bucket, err := runner.OpenControl[record](ctx, store, 0, logger)
	if err != nil {
		return nil, err
	}
	return &records{bucket: bucket, key: "view." + view, store: store, logger: logger}, nil
}

func (c *records) close() error { return c.bucket.Close() }

// buildLength is how many hexadecimal digits the id of a build has.
const buildLength = 8

// newBuild returns the id of a new build.
func newBuild() string { return strings.ReplaceAll(uuid.NewString(), "-", "")[:buildLength] }

// buildOf returns the id of the build that fills a bucket.
func buildOf(bucket string) string { return bucket[strings.LastIndexByte(bucket, '_')+1:] }

// read reads the record from the leader. Revision 0 means that there is none. It returns an error that matches
// ErrOtherStore if the record belongs to another store that had this name.
func (c *records) read(ctx context.Context) (record, uint64, error) {
	entry, err := c.bucket.GetLeader(ctx, c.key)
	if errors.Is(err, kv.ErrNotFound) {
		return record{Store: c.store.Identity()}, 0, nil
	}
	if errors.Is(err, kv.ErrDecode) {
		err = fmt.Errorf("the record %s in bucket %s cannot be read: delete that key, and run the view to have it built anew: %w",
			c.key, c.bucket.Name(), err)
	}
	if err != nil {
		return record{}, 0, err
	}
	return entry.Value, entry.Revision, c.compare(entry.Value)
}

// compare refuses the record of another store.
func (c *records) compare(r record) error {
	if r.Store == c.store.Identity() {
		return nil
	}
	return fmt.Errorf("%w: the record %s in bucket %s belongs to %s, the store %s is %s: delete that key, or connect to the other store",
		ErrOtherStore, c.key, c.bucket.Name(), r.Store, c.store.Name(), c.store.Identity())
}

// change changes the record, and returns it as it is then, with its revision. The function is called again if somebody
// else has changed the record meanwhile, or if it is not known whether the change was stored. It returns false if there
// is nothing to change.
func (c *records) change(ctx context.Context, change func(record) (record, bool)) (r record, revision uint64, err error) {
	err = runner.Restarts.Retry(ctx, runner.Unsettled, func() (err error) {
		if r, revision, err = c.read(ctx); err != nil {
			return err
		}
		next, wanted := change(r)
		if !wanted {
			return nil
		}
		next.Term = r.Term + 1
		r = next
		revision, err = c.bucket.Update(ctx, c.key, next, revision)
		return err
	})
	return r, revision, err
}

// abort takes the place of a fold version from a build. It reports whether the build has not got it any more and does
// not serve.
func (c *records) abort(ctx context.Context, foldVersion int, bucket string) bool {
	r, _, err := c.change(ctx, func(r record) (record, bool) {
		if r.slot(foldVersion).Building != bucket {
			return r, false
		}
		return r.abort(foldVersion), true
	})
	if err != nil {
		c.logger.WarnContext(ctx, "projection: a build cannot be stopped, trying again", "bucket", bucket, "error", err)
		return false
	}
	slot := r.slot(foldVersion)
	return slot.Building == "" && slot.Serving != bucket
}
