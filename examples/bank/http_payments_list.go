package main

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/saga"
)

// states are all states of a saga.
var states = []saga.State{
	saga.StateRunning, saga.StateWaiting, saga.StateCompensating, saga.StateStuck,
	saga.StateCompleted, saga.StateCompensated, saga.StateResolved,
}

// done is the name by which a client asks for all payments that have ended.
const done = "done"

// listPayments answers GET /payments. The payments that changed last come first. It reads the whole view, as
// listAccounts does.
func (s *server) listPayments(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	limit, err := readLimit(query)
	if err != nil {
		return err
	}
	wanted, err := readStates(query.Get("state"))
	if err != nil {
		return err
	}
	before, err := readBefore(query.Get("before"))
	if err != nil {
		return err
	}
	if err := s.reach(r, s.bank.payments.View()); err != nil {
		return err
	}
	all, counts, err := s.newestOfPayments(r)
	if err != nil {
		return err
	}
	listed := slices.DeleteFunc(all, func(p saga.Status) bool { return !slices.Contains(wanted, p.State) || p.Position >= before })
	page := struct {
		Payments []paymentDocument  `json:"payments"`
		Counts   map[saga.State]int `json:"counts"` // of all payments
		Next     string             `json:"next,omitempty"`
	}{Payments: []paymentDocument{}, Counts: counts}
	for _, status := range listed[:min(limit, len(listed))] {
		found, err := s.bank.payments.Get(r.Context(), status.ID) // the view has no data of payments
		if err != nil {
			return err
		}
		page.Payments = append(page.Payments, paymentDocument{Status: status, Payment: found.Data})
	}
	if len(listed) > limit {
		page.Next = nextPayments(query.Get("state"), listed[limit-1].Position, limit)
		w.Header().Set("Link", "<"+page.Next+`>; rel="next"`)
	}
	writeJSON(w, "application/json", http.StatusOK, page)
	return nil
}

// newestOfPayments returns all payments, the ones that changed last first, and how many are in each state. A payment
// that changes while it is listed may come twice. Its newest document counts.
func (s *server) newestOfPayments(r *http.Request) ([]saga.Status, map[saga.State]int, error) {
	newest := make(map[string]saga.Status)
	for status, err := range s.bank.payments.List(r.Context()) {
		if err != nil {
			return nil, nil, err
		}
		if status.Version > newest[status.ID].Version {
			newest[status.ID] = status
		}
	}
	all := make([]saga.Status, 0, len(newest))
	counts := make(map[saga.State]int)
	for _, status := range newest {
		all = append(all, status)
		counts[status.State]++
	}
	slices.SortFunc(all, func(a, b saga.Status) int { return cmp.Compare(b.Position, a.Position) })
	return all, counts, nil
}

// readStates returns the states that the client asks for, or all states if it names none.
func readStates(text string) ([]saga.State, error) {
	if text == "" {
		return states, nil
	}
	var wanted []saga.State
	for name := range strings.SplitSeq(text, ",") {
		switch state := saga.State(name); {
		case name == done:
			wanted = append(wanted, saga.StateCompleted, saga.StateCompensated, saga.StateResolved)
		case slices.Contains(states, state):
			wanted = append(wanted, state)
		default:
			return nil, newProblem(http.StatusBadRequest, "state: must be some of %s, or %s, with commas between them", states, done)
		}
	}
	return wanted, nil
}

// readBefore returns the position before which the listed payments changed last.
func readBefore(text string) (eventstore.Position, error) {
	if text == "" {
		return eventstore.Position(never), nil
	}
	before, err := strconv.ParseUint(text, 10, 64)
	if err != nil || before == 0 {
		return 0, newProblem(http.StatusBadRequest, "before: must be the position of a payment")
	}
	return eventstore.Position(before), nil
}

func nextPayments(state string, before eventstore.Position, limit int) string {
	query := url.Values{"before": {strconv.FormatUint(uint64(before), 10)}, "limit": {strconv.Itoa(limit)}}
	if state != "" {
		query.Set("state", state)
	}
	return "/payments?" + query.Encode()
}
