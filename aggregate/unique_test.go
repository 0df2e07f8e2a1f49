package aggregate_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

var secret = []byte("0123456789abcdef")

func unique(t *testing.T, store *eventstore.Store, secret []byte) *aggregate.Unique {
	t.Helper()
	emails, err := aggregate.NewUnique(store, "email", secret, nil)
	require.NoError(t, err)
	return emails
}

func requireOwner(t *testing.T, emails *aggregate.Unique, value, want string) {
	t.Helper()
	owner, ok, err := emails.Owner(t.Context(), value)
	require.NoError(t, err)
	require.Equal(t, want, owner)
	require.Equal(t, want != "", ok)
}

func TestAValueHasOneOwner(t *testing.T) {
	store := open(t)
	emails := unique(t, store, secret)
	run := func(ops ...aggregate.Operation) error { return aggregate.Transact(t.Context(), store, nil, ops...) }
	requireOwner(t, emails, "anna@example.com", "")
	require.NoError(t, run(emails.Claim("anna@example.com", "1")))
	requireOwner(t, emails, "anna@example.com", "1")
	requireOwner(t, emails, "Anna@example.com", "")

	end, err := store.End(t.Context())
	require.NoError(t, err)
	require.NoError(t, run(emails.Claim("anna@example.com", "1")), "it is the owner's already")
	again, err := store.End(t.Context())
	require.NoError(t, err)
	require.Equal(t, end, again, "nothing was decided")

	for _, op := range []aggregate.Operation{emails.Claim("anna@example.com", "2"), emails.Release("anna@example.com", "2")} {
		err := run(op)
		require.ErrorIs(t, err, aggregate.ErrTaken)
		require.ErrorIs(t, err, aggregate.ErrRejected)
		var taken *aggregate.TakenError
		require.ErrorAs(t, err, &taken)
		require.Equal(t, aggregate.TakenError{Category: "email", Owner: "1"}, *taken)
	}
	require.NoError(t, run(emails.Release("anna@example.com", "1"), emails.Claim("anna@example.org", "1")))
	requireOwner(t, emails, "anna@example.com", "")
	requireOwner(t, emails, "anna@example.org", "1")
	require.NoError(t, run(emails.Release("anna@example.com", "1")), "it is free already")
	require.NoError(t, run(emails.Claim("anna@example.com", "2")))
	requireOwner(t, emails, "anna@example.com", "2")
}

func TestOfRacingClaimsOneWins(t *testing.T) {
	store := open(t)
	one, two := unique(t, store, secret), unique(t, store, secret)
	accounts := repository(t, store, nil)
	const claims = 24
	errs := make([]error, claims)
	ids := strings.Split("abcdefghijklmnopqrstuvwx", "")
	var all sync.WaitGroup
	for i := range claims {
		all.Go(func() {
			emails := []*aggregate.Unique{one, two}[i%2]
			errs[i] = aggregate.Transact(t.Context(), store, nil, accounts.On(ids[i], deposit{1}), emails.Claim("anna@example.com", ids[i]))
		})
	}
	all.Wait()
	winner := ""
	for i, err := range errs {
		account, loadErr := accounts.Load(t.Context(), ids[i])
		require.NoError(t, loadErr)
		if err == nil {
			require.Empty(t, winner)
			winner = ids[i]
			require.Equal(t, eventstore.Version(1), account.Version)
			continue
		}
		require.ErrorIs(t, err, aggregate.ErrTaken)
		require.Zero(t, account.Version, "of a transaction whose claim is rejected nothing is stored")
	}
	requireOwner(t, one, "anna@example.com", winner)
}

func TestAValueUnderASecretIsNowhereToBeSeen(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	emails := unique(t, store, secret)
	logins, err := aggregate.NewUnique(store, "login", secret, nil)
	require.NoError(t, err)
	require.NoError(t, aggregate.Transact(t.Context(), store, nil, emails.Claim("anna", "1"), logins.Claim("anna", "1")))
	err = aggregate.Transact(t.Context(), store, nil, emails.Claim("anna", "2"))
	require.NotContains(t, err.Error(), "anna")

	stream, err := js.Stream(t.Context(), "bank")
	require.NoError(t, err)
	var ids []string
	for position := range uint64(2) {
		msg, err := stream.GetMsg(t.Context(), position+1)
		require.NoError(t, err)
		require.NotContains(t, string(msg.Data), "anna")
		id := msg.Subject[strings.LastIndex(msg.Subject, ".")+1:]
		require.Regexp(t, `^[A-Za-z0-9_-]{43}$`, id, "256 bits")
		ids = append(ids, id)
	}
	require.NotEqual(t, ids[0], ids[1], "one value in two categories does not show")
	requireOwner(t, unique(t, store, []byte("another secret of enough bytes")), "anna", "")
}

func TestWhatCannotBeUniqueIsRefused(t *testing.T) {
	store := open(t)
	for _, short := range [][]byte{{}, []byte("fifteen bytes !")} {
		_, err := aggregate.NewUnique(store, "email", short, nil)
		require.ErrorIs(t, err, aggregate.ErrInvalid, "an empty secret is one that was forgotten")
	}
	_, err := aggregate.NewUnique(store, "e.mail", secret, nil)
	require.ErrorIs(t, err, eventstore.ErrInvalidID)
	emails, plain := unique(t, store, secret), unique(t, store, nil)
	for _, op := range []aggregate.Operation{
		emails.Claim("", "1"), emails.Claim("anna", ""), emails.Release("", "1"), plain.Claim(strings.Repeat("x", 257), "1"),
	} {
		require.ErrorIs(t, aggregate.Transact(t.Context(), store, nil, op), eventstore.ErrInvalidID)
	}
	_, _, err = emails.Owner(t.Context(), "")
	require.ErrorIs(t, err, eventstore.ErrInvalidID)

	require.NoError(t, aggregate.Transact(t.Context(), store, nil, emails.Claim("anna", "1")))
	err = aggregate.Transact(t.Context(), store, nil, emails.Release("anna", "1"), emails.Claim("anna", "1"))
	require.ErrorIs(t, err, eventstore.ErrRefused, "one would release what the other has no need to claim")
	requireOwner(t, emails, "anna", "1")
}

func TestATornTransactionLeavesItsValueFree(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	accounts, names := repository(t, store, nil), unique(t, store, nil)
	require.NoError(t, aggregate.Transact(t.Context(), store, nil, names.Claim("anna", "1"), accounts.On("1", deposit{1})))

	stream, err := js.Stream(t.Context(), "bank")
	require.NoError(t, err)
	msg, err := stream.GetMsg(t.Context(), 1)
	require.NoError(t, err)
	// The claim of a transaction that lost its other part.
	_, err = js.Publish(t.Context(), "bank.email.bert", msg.Data, jetstream.WithExpectLastSequencePerSubject(0))
	require.NoError(t, err)
	requireOwner(t, names, "bert", "")
	require.NoError(t, aggregate.Transact(t.Context(), store, nil, names.Claim("bert", "2"), accounts.On("2", deposit{1})))
	requireOwner(t, names, "bert", "2")
	require.Positive(t, store.Counters().Torn)
}

func TestATransactionWithAClaimIsRepeatedUnderItsKey(t *testing.T) {
	store := open(t)
	accounts, emails := repository(t, store, nil), unique(t, store, secret)
	_, err := accounts.Do(t.Context(), "1", deposit{5})
	require.NoError(t, err)
	change := func() (bool, error) {
		pay := accounts.On("1", withdraw{5}, aggregate.Key("k"))
		err := aggregate.Transact(t.Context(), store, nil, emails.Claim("anna", "1"), pay)
		return pay.Result().Repeated, err
	}
	repeated, err := change()
	require.NoError(t, err)
	require.False(t, repeated)
	repeated, err = change()
	require.NoError(t, err)
	require.True(t, repeated)

	require.NoError(t, aggregate.Transact(t.Context(), store, nil, emails.Release("anna", "1")))
	require.NoError(t, aggregate.Transact(t.Context(), store, nil, emails.Claim("anna", "2")))
	repeated, err = change()
	require.NoError(t, err, "it was done, whatever became of the value since")
	require.True(t, repeated)
	requireOwner(t, emails, "anna", "2")
}

func TestARepeatedTransactionMayHoldWhatHadNothingToDo(t *testing.T) {
	store := open(t)
	accounts := repository(t, store, nil)
	transact := func(second deposit) error {
		return aggregate.Transact(t.Context(), store, nil,
			accounts.On("1", deposit{5}, aggregate.Key("k")), accounts.On("2", second), accounts.On("3", deposit{1}))
	}
	require.NoError(t, transact(deposit{0}))
	require.NoError(t, transact(deposit{0}), "the second decides nothing, as before")
	require.ErrorIs(t, transact(deposit{1}), aggregate.ErrKeyReused, "this is another transaction")
	account, err := accounts.Load(t.Context(), "1")
	require.NoError(t, err)
	require.Equal(t, balance{5}, account.State)
}

func TestATransactionIsRepeatedOnlyUnderTheKeysThatItHad(t *testing.T) {
	store := open(t)
	accounts := repository(t, store, nil)
	transact := func(second int64, options ...aggregate.Option) error {
		return aggregate.Transact(t.Context(), store, nil,
			accounts.On("1", deposit{5}, aggregate.Key("k")), accounts.On("2", deposit{second}, options...))
	}
	require.NoError(t, transact(7))
	require.NoError(t, transact(7), "it is the same")
	require.ErrorIs(t, transact(8, aggregate.Key("z")), aggregate.ErrKeyReused, "nothing was done under this key")
	require.ErrorIs(t, transact(8), aggregate.ErrKeyReused, "this is another transaction")
	require.ErrorIs(t, transact(0), aggregate.ErrKeyReused, "and so is one with nothing to do")
	account, err := accounts.Load(t.Context(), "2")
	require.NoError(t, err)
	require.Equal(t, balance{7}, account.State)
}

func TestATransactionIsRepeatedUnderTheKeyOfAnOperationThatHadNothingToDo(t *testing.T) {
	store := open(t)
	accounts := repository(t, store, nil)
	for i := range 3 {
		first, third := accounts.On("1", deposit{0}, aggregate.Key("k")), accounts.On("3", deposit{5})
		require.NoError(t, aggregate.Transact(t.Context(), store, nil, first, accounts.On("2", deposit{0}), third))
		require.Equal(t, i > 0, third.Result().Repeated)
		require.Equal(t, balance{5}, third.Result().State)
	}
	accounts = repository(t, store, nil) // without what was remembered
	err := aggregate.Transact(t.Context(), store, nil, accounts.On("1", deposit{0}, aggregate.Key("k")), accounts.On("3", deposit{6}))
	require.NoError(t, err, "another transaction is done")
	account, err := accounts.Load(t.Context(), "3")
	require.NoError(t, err)
	require.Equal(t, balance{11}, account.State)
}
