package projection

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/kv"
)

// Version says which bucket holds the documents of a view at one fold version. It is a document of the view's catalog, where
// any NATS client finds it: under "v<fold version>", and under "alias" that of the newest fold version.
type Version struct {
	FoldVersion int                 `json:"fold" msgpack:"fold"`
	Bucket      string              `json:"bucket" msgpack:"bucket"`
	Build       string              `json:"build" msgpack:"build"` // the id of the build that filled the bucket
	Since       time.Time           `json:"since" msgpack:"since"` // when readers were led to it
	Position    eventstore.Position `json:"position" msgpack:"position"`
}

// Building says how far the build of a fold version is. It is also the lease of the process that builds: whoever finds
// that it has not changed for a while builds anew.
type Building struct {
	Build    string              `json:"build" msgpack:"build"`
	Bucket   string              `json:"bucket" msgpack:"bucket"`
	Runner   string              `json:"runner" msgpack:"runner"`
	Progress eventstore.Progress `json:"progress" msgpack:"progress"`
	Beat     uint64              `json:"beat" msgpack:"beat"` // makes every write of the lease another one
}

// orders is what the operators of a view want of its runners.
type orders struct {
	Paused bool   `json:"paused" msgpack:"paused"`
	Attend uint64 `json:"attend" msgpack:"attend"` // raised when a wish was written into a parked document
}

const aliasKey = "alias"

// catalog is the bucket that says where a view's documents are:
//
//	bucket bank-balances
//	key alias            {"fold":2,"bucket":"bank-balances-v2-9f86d081","build":"9f86d081",...}
//	key v1               {"fold":1,"bucket":"bank-balances-v1-60303ae2",...}
//	key v2               {"fold":2,"bucket":"bank-balances-v2-9f86d081",...}
//	key =building.v3     the lease and progress of a build
//	key =orders          what operators want
type catalog struct {
	name     string // of the bucket, and before that of all buckets of the view
	versions *kv.Bucket[Version]
	building *kv.Cells[Building]
	orders   *kv.Cell[orders]
}

func openCatalog(ctx context.Context, store *eventstore.Store, view string, cfg *kv.Config) (*catalog, error) {
	name := store.Name() + "-" + view
	versions, err := kv.Open[Version](ctx, store.JetStream(), name, cfg)
	if err != nil {
		return nil, err
	}
	building, err := kv.NewCells[Building](versions, "building")
	if err != nil {
		return nil, errors.Join(err, versions.Close())
	}
	wanted, err := kv.NewCell[orders](versions, "orders")
	if err != nil {
		return nil, errors.Join(err, versions.Close())
	}
	return &catalog{name: name, versions: versions, building: building, orders: wanted}, nil
}

func (c *catalog) close() error { return c.versions.Close() }

func versionKey(foldVersion int) string { return fmt.Sprintf("v%d", foldVersion) }

// bucketOf names the bucket of a build. The parts of a view's name have no more than 64 characters together, so there is
// room for the rest.
func (c *catalog) bucketOf(foldVersion int, build string) string {
	return fmt.Sprintf("%s-v%d-%s", c.name, foldVersion, build)
}

// isBucket reports whether a bucket is that of a build of this view. Another view may be named like one of its fold versions.
func (c *catalog) isBucket(bucket string) bool {
	rest, ok := strings.CutPrefix(bucket, c.name+"-v")
	_, build, _ := strings.Cut(rest, "-")
	return ok && len(build) == buildLength && !strings.Contains(build, "-")
}

// buildLength is how many hexadecimal digits the id of a build has.
const buildLength = 8

// newBuild gives the id of a build.
func newBuild() string { return strings.ReplaceAll(uuid.NewString(), "-", "")[:buildLength] }

// version reads, from the leader, what serves a fold version; revision 0 where nothing does.
func (c *catalog) version(ctx context.Context, key string) (Version, uint64, error) {
	entry, err := c.versions.GetLeader(ctx, key)
	if errors.Is(err, kv.ErrNotFound) {
		return Version{}, 0, nil
	}
	return entry.Value, entry.Revision, err
}

// flip leads readers of the fold version to the build, if the version is still at the given revision, and other clients too unless
// they have been led to a newer fold version. It gives the revision at which it has led them there.
func (c *catalog) flip(ctx context.Context, to Version, revision uint64) (flipped uint64, err error) {
	flipped, err = c.versions.Update(ctx, versionKey(to.FoldVersion), to, revision)
	if err != nil {
		now, at, readErr := c.version(ctx, versionKey(to.FoldVersion))
		if readErr != nil || now.Build != to.Build {
			return 0, errors.Join(errTaken, kv.ErrUnavailable, err, readErr)
		}
		flipped = at
	}
	_, _, err = c.versions.Modify(ctx, aliasKey, func(alias Version, exists bool) (Version, error) {
		if exists && alias.FoldVersion > to.FoldVersion {
			return alias, nil
		}
		return to, nil
	})
	return flipped, err
}

// withdraw takes back that a build serves its fold version, because its bucket is damaged.
func (c *catalog) withdraw(ctx context.Context, damaged Version) error {
	for _, key := range []string{versionKey(damaged.FoldVersion), aliasKey} {
		now, revision, err := c.version(ctx, key)
		if err == nil && revision != 0 && now.Build == damaged.Build {
			err = c.versions.DeleteRevision(ctx, key, revision)
		}
		if err != nil && !errors.Is(err, kv.ErrConflict) {
			return err
		}
	}
	return nil
}

// all lists what serves each fold version, and the alias.
func (c *catalog) all(ctx context.Context) (map[string]Version, error) {
	versions := make(map[string]Version)
	for entry, err := range c.versions.List(ctx) {
		if err != nil {
			return nil, err
		}
		versions[entry.Key] = entry.Value
	}
	return versions, nil
}
