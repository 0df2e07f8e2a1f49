package projection

import (
	"context"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/runner"
)

// A batch gathers for Config.Interval, and for a fifth of it once it has come to what a reader waits for.
func TestABatchIsDueSoonerForAReader(t *testing.T) {
	for name, c := range map[string]struct {
		want  eventstore.Position // by a reader, while the batch gathers
		asks  time.Duration       // when the reader asks
		after time.Duration       // when the batch is due
	}{
		"nobody waits":                 {want: 0, after: 100 * time.Millisecond},
		"for a position of the batch":  {want: 2, after: 20 * time.Millisecond},
		"late":                         {want: 3, asks: 50 * time.Millisecond, after: 50 * time.Millisecond},
		"for what is still to be read": {want: 4, after: 70 * time.Millisecond},
		"for what is not in the log":   {want: 5, after: 100 * time.Millisecond},
		"for what is written":          {want: 1, after: 100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := follower{runner.Read(t.Context(), func(ctx context.Context) iter.Seq2[[]*eventstore.Commit, error] {
					return func(yield func([]*eventstore.Commit, error) bool) {
						yield([]*eventstore.Commit{{Position: 3}}, nil)
						<-time.After(70 * time.Millisecond)
						yield([]*eventstore.Commit{{Position: 4}}, nil)
						<-ctx.Done()
					}
				}, readAhead)}
				defer log.Stop()
				s := &session[int]{folder: &folder[int]{spec: &spec[int]{cfg: Config{Interval: 100 * time.Millisecond}}}, progress: newProgress()}
				s.at.Position = 1
				begun := time.Now()
				batch := s.paceBehind(begun)
				defer time.AfterFunc(c.asks, func() { s.progress.want(c.want) }).Stop()
				_, due, err := log.gather(t.Context(), [][]*eventstore.Commit{{{Position: 2}}}, batch)
				require.NoError(t, err)
				require.True(t, due)
				require.Equal(t, c.after, time.Since(begun))
			})
		})
	}
}
