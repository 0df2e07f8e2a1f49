package aggregate_test

import (
	"cmp"
	"slices"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
)

// The results of the steps of a bankModel, compared with what it knows.

// verify compares the results of steps with the expected ones, and keeps the stored commits. At most one step has a
// key.
func (m *bankModel) verify(rt *rapid.T, steps []step, results []outcome, err error) {
	for i, s := range steps {
		if s.key == "" {
			continue
		}
		same, other := m.under(s)
		switch {
		case err == nil && results[i].Repeated:
			m.verifyRepeated(rt, i, same, steps, results)
			return
		case len(same) > 0 && len(other) == 0:
			require.True(rt, m.differ(steps, same), "it was done before and is not done again")
			require.ErrorIs(rt, err, aggregate.ErrKeyReused)
			return
		case len(same)+len(other) == 0 && m.verifyBorrowed(rt, s, steps, results, err):
			return
		}
	}
	if want := m.no(steps); want != nil {
		require.ErrorIs(rt, err, want)
		return
	}
	require.NoError(rt, err)
	m.stored(rt, steps, results)
	if slices.ContainsFunc(steps, func(s step) bool { return s.key != "" }) {
		m.sent = append(m.sent, steps)
	}
}

// verifyBorrowed checks steps whose keyed one decides nothing, so that the first one that writes has borrowed its key.
// It reports whether that was done before, with the same command.
func (m *bankModel) verifyBorrowed(rt *rapid.T, keyed step, steps []step, results []outcome, err error) bool {
	borrower := slices.IndexFunc(steps, func(s step) bool { return s.amount != 0 })
	if keyed.amount != 0 || borrower < 0 || m.no(steps) != nil {
		return false
	}
	s := steps[borrower]
	s.key = keyed.key
	var newest done
	for i, d := range m.accounts[s.id] {
		if d.key == s.key && i >= len(m.accounts[s.id])-modelWindow {
			newest = d
		}
	}
	if newest.key == "" || newest.kind != s.kind || newest.amount != s.amount {
		return false
	}
	if err == nil && results[borrower].Repeated {
		m.verifyRepeated(rt, borrower, []done{newest}, steps, results)
		return true
	}
	require.True(rt, m.differ(steps, []done{newest}), "it was done before and is not done again")
	require.ErrorIs(rt, err, aggregate.ErrKeyReused)
	return true
}

// under returns the commits under the key of a step that must be found, split by whether the command is the same.
func (m *bankModel) under(s step) (same, other []done) {
	commits := m.accounts[s.id]
	for i, d := range commits {
		reached := i >= len(commits)-modelWindow || s.issuedAt != nil && d.position > *s.issuedAt
		switch {
		case d.key != s.key || !reached:
		case d.kind == s.kind && d.amount == s.amount:
			same = append(same, d)
		default:
			other = append(other, d)
		}
	}
	return same, other
}

// part returns the commit of a transaction that wrote to an account.
func (m *bankModel) part(of done, id string) (done, bool) {
	for _, d := range m.accounts[id] {
		if d.position == of.position || of.transaction != 0 && d.transaction == of.transaction {
			return d, true
		}
	}
	return done{}, false
}

// differ reports whether one of the steps has something to do and took no part in one of the commits' transactions, or
// took part in it with another command.
func (m *bankModel) differ(steps []step, commits []done) bool {
	for _, d := range commits {
		for _, s := range steps {
			part, ok := m.part(d, s.id)
			if ok && (part.kind != s.kind || part.amount != s.amount) || !ok && !s.hasNothingToDo(m.now(s.id)) {
				return true
			}
		}
	}
	return false
}

// verifyRepeated checks that a step that is reported as repeated was done before.
func (m *bankModel) verifyRepeated(rt *rapid.T, keyed int, same []done, steps []step, results []outcome) {
	found := slices.IndexFunc(same, func(d done) bool { return d.position == results[keyed].Position })
	require.GreaterOrEqual(rt, found, 0)
	before := same[found]
	for i, s := range steps {
		now := m.now(s.id)
		d, ok := m.part(before, s.id)
		if !ok {
			// A present refusal does not count if the step had nothing to do then.
			refused := slices.Contains(before.guarded, s.id) && m.no([]step{s}) != nil
			require.True(rt, refused || s.hasNothingToDo(now))
			require.Equal(rt, now, results[i])
			continue
		}
		require.Equal(rt, outcome{now.Balance, d.last, d.position, decided(d.amount), true}, results[i])
	}
}

// no returns the first reason why steps are not done.
func (m *bankModel) no(steps []step) error {
	for _, s := range steps {
		now := m.now(s.id)
		_, other := m.under(s)
		switch {
		case s.key != "" && len(other) > 0:
			return aggregate.ErrKeyReused
		case s.ifVersion != nil && *s.ifVersion != now.Version:
			return eventstore.ErrConflict
		case now.Balance+s.amount < 0:
			return errFunds
		}
	}
	return nil
}

// stored keeps the commits that steps wrote.
func (m *bankModel) stored(rt *rapid.T, steps []step, results []outcome) {
	transaction := m.end + 1
	if m.writes(steps) < 2 {
		transaction = 0
	}
	if idle := len(steps) - m.writes(steps); idle < len(steps) {
		m.end += eventstore.Position(idle) // their guards come first
	}
	key, guarded := "", []string(nil)
	for _, s := range steps {
		key = cmp.Or(key, s.key)
		if s.amount == 0 {
			guarded = append(guarded, s.id)
		}
	}
	if slices.ContainsFunc(steps, func(s step) bool { return s.key != "" && s.amount != 0 }) {
		key = "" // its own step keeps it
	}
	for i, s := range steps {
		want := m.now(s.id)
		if s.key == "" && s.amount != 0 {
			s.key, key = key, "" // the first one that writes borrows it
		}
		if events := decided(s.amount); len(events) > 0 {
			m.end++
			want = outcome{want.Balance + s.amount, want.Version + eventstore.Version(len(events)), m.end, events, false}
			m.accounts[s.id] = append(m.accounts[s.id], done{
				key: s.key, kind: s.kind, amount: s.amount, last: want.Version, position: want.Position, transaction: transaction, guarded: guarded})
		}
		require.Equal(rt, want, results[i])
	}
}

func (m *bankModel) writes(steps []step) (n int) {
	for _, s := range steps {
		if s.amount != 0 {
			n++
		}
	}
	return n
}
