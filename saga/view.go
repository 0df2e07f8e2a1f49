package saga

import (
	"context"
	"errors"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/control"
	runners "github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/internal/sagaevent"
	"github.com/runnel-go/runnel/kv"
	"github.com/runnel-go/runnel/projection"
)

// viewVersion is raised when Status or what it is folded from changes.
const viewVersion = 5

// viewInterval is how far writes of the view are apart. A saga that goes through several states within it is written
// once.
const viewInterval = 100 * time.Millisecond

// openView opens the view in which each saga of a definition has its Status.
func openView(ctx context.Context, store *eventstore.Store, name string, cfg Config) (*projection.View[Status], error) {
	ctx, view := control.SagaName(ctx, name)
	return projection.Open(ctx, store, view, viewVersion,
		&projection.Config{
			Interval: min(viewInterval, cfg.Claim/10), Heartbeat: cfg.Claim * 3 / 10, StandBy: cfg.Claim * 4 / 5,
			Park: true, Replicas: cfg.Replicas, Logger: cfg.Logger,
		},
		follows[sagaevent.Started](name), follows[sagaevent.Claimed](name), follows[sagaevent.Released](name), follows[sagaevent.StepBegun](name),
		follows[sagaevent.StepFailed](name),
		follows[sagaevent.StepDone](name), follows[sagaevent.EventReceived](name), follows[sagaevent.DeadlinePassed](name), follows[sagaevent.Completed](name),
		follows[sagaevent.Compensating](name), follows[sagaevent.UndoBegun](name), follows[sagaevent.UndoFailed](name), follows[sagaevent.Undone](name),
		follows[sagaevent.Compensated](name), follows[sagaevent.Stuck](name), follows[sagaevent.Retried](name), follows[sagaevent.Resolved](name),
	)
}

// follows is the rule for one type of event, in the streams of the definition only.
func follows[E eventstore.Event](category string) projection.Rule[Status] {
	return projection.OnRecorded(func(s Status, e E, r eventstore.Recorded) Status { return s.apply(e, r) }).
		ByRecorded(func(_ E, r eventstore.Recorded) string {
			if r.Stream.Category != category {
				return ""
			}
			return r.Stream.ID
		})
}

// runView keeps the view of all sagas. An event of a saga that this release cannot decode stops the view, but no saga:
// the runner reads the log, and the view is where it begins. If the view is built elsewhere meanwhile, it is run again.
func (m *Manager[S]) runView(ctx context.Context) error {
	for failures := 1; ; failures++ {
		begun := time.Now()
		err := m.view.Run(ctx)
		if time.Since(begun) > time.Minute {
			failures = 1
		}
		if errors.Is(err, eventstore.ErrUndecodable) || errors.Is(err, eventstore.ErrUnknownType) {
			m.logger.ErrorContext(ctx, "saga: the view of all sagas has stopped, so List and Wait show what was before: "+
				"run a release that can decode the event", "error", err)
			return nil
		}
		if !errors.Is(err, kv.ErrNoBucket) || failures == maxBegins {
			return err
		}
		m.logger.WarnContext(ctx, "saga: the view of all sagas has moved to another bucket", "error", err)
		_ = runners.Restarts.Wait(ctx, failures) // ended by ctx alone, at which Run looks
	}
}
