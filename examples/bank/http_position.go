package main

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/projection"
)

// positionHeader is the header by which a client reads its own writes. An answer to a write has the position of the
// write in the log. A read that sends it waits until the views have come that far.
const positionHeader = "Position"

func setPosition(h http.Header, position eventstore.Position) {
	h.Set(positionHeader, strconv.FormatUint(uint64(position), 10))
}

// readPosition returns the position that a read asks for in its header, or in its query for clients that set no
// headers. It returns 0 if the read asks for none.
func readPosition(r *http.Request) (eventstore.Position, error) {
	text := r.Header.Get(positionHeader)
	if text == "" {
		text = r.URL.Query().Get("position")
	}
	if text == "" {
		return 0, nil
	}
	position, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, newProblem(http.StatusBadRequest, "%s: send the number that a write answered with", positionHeader)
	}
	return eventstore.Position(position), nil
}

// folding is a view, as far as it is waited for.
type folding interface {
	WaitFor(ctx context.Context, position eventstore.Position) error
}

// reach waits up to readTime until the views have come to the position that a read asks for. It does not wait if the
// read asks for none.
func (s *server) reach(r *http.Request, views ...folding) error {
	position, err := readPosition(r)
	if err != nil || position == 0 {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.readTime)
	defer cancel()
	for _, view := range views {
		err := view.WaitFor(ctx, position)
		switch {
		case err == nil:
		case errors.Is(err, projection.ErrPositionAhead):
			return newProblem(http.StatusBadRequest, "%s: the log ends before %d: send the number that a write answered with", positionHeader, position)
		case ctx.Err() != nil && r.Context().Err() == nil:
			return newProblem(http.StatusServiceUnavailable,
				"the view has not come to position %d yet: ask again, or without %s for what it has", position, positionHeader).because(err).retryLater()
		default:
			return err
		}
	}
	return nil
}
