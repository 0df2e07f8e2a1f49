package reactor_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/inside"
)

// The log is replaced by an older backup under a reactor that has nothing to do at the time.
func TestAReactorEndsWithALogThatIsReplaced(t *testing.T) {
	ctx := t.Context()
	server := eventstoretest.NewServer(t)
	operator := server.JetStream(t)
	store, err := eventstore.Open(ctx, server.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	deposit(t, store, "1", 1)
	var backup bytes.Buffer
	_, err = store.Export(ctx, &backup, nil)
	require.NoError(t, err)
	j := newJournal()
	mails := newReactor(t, store, quick(), j.reaction())
	ended := make(chan error, 1)
	go func() { ended <- mails.Run(ctx) }()
	settled(t, mails, deposit(t, store, "1", 10))

	require.NoError(t, operator.DeleteStream(ctx, "bank"))
	_, err = eventstore.Import(ctx, operator, &backup, nil)
	require.NoError(t, err)
	_, err = store.Append(ctx, account("2"), eventstore.Head{}, deposited{Amount: 1})
	require.ErrorIs(t, err, eventstore.ErrLogRewound)
	select {
	case err := <-ended:
		require.ErrorIs(t, err, eventstore.ErrLogRewound)
	case <-time.After(30 * time.Second):
		t.Fatal("the reactor goes on")
	}
	<-eventstore.Inside(inside.Pass{}, store).Done()
	require.ErrorIs(t, eventstore.Inside(inside.Pass{}, store).Err(), eventstore.ErrLogRewound)
}
