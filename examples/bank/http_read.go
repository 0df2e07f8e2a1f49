package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/runnel-go/runnel/eventstore"
)

// How many documents a page has.
const (
	defaultLimit = 50
	maxLimit     = 200
)

// listAccounts answers GET /accounts, sorted by id. It reads the whole view for each page. That is fast enough for
// some thousand accounts. A larger bank would keep a view with a document for each page.
func (s *server) listAccounts(w http.ResponseWriter, r *http.Request) error {
	limit, err := readLimit(r.URL.Query())
	if err != nil {
		return err
	}
	if err := s.reach(r, s.bank.views.Balances); err != nil {
		return err
	}
	after := r.URL.Query().Get("after")
	accounts := []Balance{}
	for document, err := range s.bank.views.Balances.List(r.Context()) {
		if err != nil {
			return err
		}
		if document.Key > after {
			accounts = append(accounts, document.Value)
		}
	}
	slices.SortFunc(accounts, func(a, b Balance) int { return strings.Compare(a.ID, b.ID) })
	// A document that changes while it is listed may come twice. The later one is newer.
	accounts = newestOfEach(accounts)
	page := struct {
		Accounts []Balance `json:"accounts"`
		Next     string    `json:"next,omitempty"`
	}{Accounts: accounts[:min(limit, len(accounts))]}
	if len(accounts) > limit {
		page.Next = setNext(w.Header(), "/accounts", accounts[limit-1].ID, limit)
	}
	writeJSON(w, "application/json", http.StatusOK, page)
	return nil
}

// newestOfEach keeps only the newest document of each account. The accounts must be sorted by id.
func newestOfEach(accounts []Balance) []Balance {
	kept := accounts[:0]
	for _, account := range accounts {
		if last := len(kept) - 1; last >= 0 && kept[last].ID == account.ID {
			if kept[last].Version < account.Version {
				kept[last] = account
			}
			continue
		}
		kept = append(kept, account)
	}
	return kept
}

// showAccount answers GET /accounts/{id}.
func (s *server) showAccount(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	if err := s.reach(r, s.bank.views.Balances); err != nil {
		return err
	}
	account, err := s.bank.views.Balances.Get(r.Context(), id)
	if err != nil {
		return err
	}
	w.Header().Set("ETag", etag(account.Version))
	writeJSON(w, "application/json", http.StatusOK, account)
	return nil
}

// showStatement answers GET /accounts/{id}/statement, newest entry first.
func (s *server) showStatement(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	limit, err := readLimit(r.URL.Query())
	if err != nil {
		return err
	}
	if err := s.reach(r, s.bank.views.Balances); err != nil {
		return err
	}
	newest, err := s.newestEntry(r.Context(), id)
	if err != nil {
		return err
	}
	if text := r.URL.Query().Get("after"); text != "" {
		after, err := strconv.ParseUint(text, 10, 64)
		if err != nil || after == 0 {
			return newProblem(http.StatusBadRequest, "after: must be the version of an entry")
		}
		newest = min(newest, eventstore.Version(after)-1)
	}
	entries, err := s.entries(r.Context(), id, newest, limit)
	if err != nil {
		return err
	}
	page := struct {
		Entries []Entry `json:"entries"`
		Next    string  `json:"next,omitempty"`
	}{Entries: entries}
	if newest > eventstore.Version(limit) {
		page.Next = setNext(w.Header(), "/accounts/"+id+"/statement", fmt.Sprint(newest-eventstore.Version(limit)+1), limit)
	}
	writeJSON(w, "application/json", http.StatusOK, page)
	return nil
}

// newestEntry returns the version of the account's newest entry. It waits until the statements have all entries up to
// it.
func (s *server) newestEntry(ctx context.Context, id string) (eventstore.Version, error) {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	account, err := s.bank.views.Balances.Get(ctx, id)
	if err != nil {
		return 0, err
	}
	position, err := s.bank.views.Balances.Position(ctx)
	if err != nil {
		return 0, err
	}
	return account.Version, s.bank.views.Statements.WaitFor(ctx, position)
}

// entries returns up to limit entries of an account, from a version downwards.
func (s *server) entries(ctx context.Context, id string, from eventstore.Version, limit int) ([]Entry, error) {
	keys := make([]string, 0, limit)
	for version := from; version > 0 && len(keys) < limit; version-- {
		keys = append(keys, entryKey(id, version))
	}
	entries := make([]Entry, 0, len(keys))
	if len(keys) == 0 {
		return entries, nil // without a pattern the list would have the entries of all accounts
	}
	for document, err := range s.bank.views.Statements.List(ctx, keys...) {
		if err != nil {
			return nil, err
		}
		entries = append(entries, document.Value)
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(b.Version, a.Version) })
	return entries, nil
}

// showTurnover answers GET /turnover/{day} with what happened on a day, by kind.
func (s *server) showTurnover(w http.ResponseWriter, r *http.Request) error {
	day := r.PathValue("day")
	if _, err := time.Parse(time.DateOnly, day); err != nil {
		return newProblem(http.StatusBadRequest, "day: must be a date such as 2026-01-31")
	}
	if err := s.reach(r, s.bank.views.Turnover); err != nil {
		return err
	}
	kinds := []Turnover{}
	for document, err := range s.bank.views.Turnover.List(r.Context(), day+".*") {
		if err != nil {
			return err
		}
		kinds = append(kinds, document.Value)
	}
	slices.SortFunc(kinds, func(a, b Turnover) int { return cmp.Or(strings.Compare(a.Kind, b.Kind), cmp.Compare(b.Count, a.Count)) })
	// A document that changes while it is listed may come twice. The newer one has the higher count.
	kinds = slices.CompactFunc(kinds, func(a, b Turnover) bool { return a.Kind == b.Kind })
	writeJSON(w, "application/json", http.StatusOK, struct {
		Day   string     `json:"day"`
		Kinds []Turnover `json:"kinds"`
	}{day, kinds})
	return nil
}

func readLimit(query url.Values) (int, error) {
	text := query.Get("limit")
	if text == "" {
		return defaultLimit, nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > maxLimit {
		return 0, newProblem(http.StatusBadRequest, "limit: must be 1 to %d", maxLimit)
	}
	return limit, nil
}

// setNext returns the path of the next page, and sets a link to it.
func setNext(h http.Header, path, after string, limit int) string {
	next := path + "?" + url.Values{"after": {after}, "limit": {strconv.Itoa(limit)}}.Encode()
	h.Set("Link", "<"+next+`>; rel="next"`)
	return next
}
