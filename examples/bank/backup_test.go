package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/natsrun"
)

// requireSameLog compares two logs message by message: position, subject and payload.
func requireSameLog(t *testing.T, one, two *natsrun.Runtime, messages int) {
	t.Helper()
	streams := make([]jetstream.Consumer, 2)
	for i, rt := range []*natsrun.Runtime{one, two} {
		var err error
		streams[i], err = rt.Reads().CreateConsumer(t.Context(), storeName, jetstream.ConsumerConfig{
			AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true,
		})
		require.NoError(t, err)
		require.Equal(t, uint64(messages), streams[i].CachedInfo().NumPending)
	}
	for read := 0; read < messages; {
		n := min(messages-read, 500)
		left, err := streams[0].Fetch(n)
		require.NoError(t, err)
		right, err := streams[1].Fetch(n)
		require.NoError(t, err)
		for range n {
			a, b := <-left.Messages(), <-right.Messages()
			require.NotNil(t, a)
			require.NotNil(t, b)
			at, err := a.Metadata()
			require.NoError(t, err)
			bt, err := b.Metadata()
			require.NoError(t, err)
			if at.Sequence.Stream != bt.Sequence.Stream || a.Subject() != b.Subject() || !bytes.Equal(a.Data(), b.Data()) {
				t.Fatalf("position %d, %s: it is not what position %d, %s is there", at.Sequence.Stream, a.Subject(), bt.Sequence.Stream, b.Subject())
			}
			read++
		}
	}
}

// restoreElsewhere backs a bank up and restores it on another server. It shows that the log and the views are the
// same there.
func restoreElsewhere(t *testing.T, rt *natsrun.Runtime, bank *Bank, dir, audited string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bank.archive")
	require.NoError(t, bank.backup(t.Context(), file, t.Output()))
	there := newRuntime(t)
	require.NoError(t, restore(t.Context(), there, file, t.Output()))
	restored := newBank(t, there, nil)
	require.Equal(t, bank.store.Identity(), restored.store.Identity())
	end, err := bank.store.End(t.Context())
	require.NoError(t, err)
	requireSameLog(t, rt, there, int(end))

	balances := restored.views.Balances.Bucket()
	require.Equal(t, bank.views.Balances.Bucket(), balances, "the view serves before it runs")
	runViews(t, there, restored)
	wrong, output := auditOf(t, restored, dir)
	require.Zero(t, wrong, output)
	require.Contains(t, output, audited)
	require.Equal(t, balances, restored.views.Balances.Bucket(), "the view was not built anew")
	_, err = restored.accounts.Do(t.Context(), "new", Open{Owner: "Anna", Date: day})
	require.NoError(t, err)
}

func TestABankIsRestoredElsewhere(t *testing.T) {
	rt := newRuntime(t)
	bank := newBank(t, rt, nil)
	runViews(t, rt, bank)
	require.NoError(t, bank.importLedger(t.Context(), os.DirFS(syntheticLedger), t.Output()))
	_, output := auditOf(t, bank, syntheticLedger)
	require.Contains(t, output, syntheticAudit)
	restoreElsewhere(t, rt, bank, syntheticLedger, syntheticAudit)
}

func TestTheReactorsCheckpointIsInABackup(t *testing.T) {
	bank := newBank(t, newRuntime(t), nil)
	fraud, err := openFraud(t.Context(), bank.store, "", nil, bank.log)
	require.NoError(t, err)
	require.NoError(t, fraud.Close())
	require.Contains(t, bank.buckets(), fraud.reactor.Bucket())
}

func TestTheProgramBacksUpAndRestores(t *testing.T) {
	data, file := t.TempDir(), filepath.Join(t.TempDir(), "bank.archive")
	code, _, stderr := runWith(t, nil, "import", syntheticLedger, "--data", data)
	require.Equal(t, exitOK, code, stderr)
	code, _, stderr = runWith(t, nil, "backup", file, "--data", data)
	require.Equal(t, exitOK, code, stderr)
	require.Contains(t, stderr, "backup: 349 events in 312 commits, 2 documents", "no view ever ran, and the log was searched for answers up to a position")
	code, _, stderr = runWith(t, nil, "backup", file, "--data", data)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "choose the name of a file that does not exist")

	code, _, stderr = runWith(t, nil, "backup", file+".empty", "--data", t.TempDir())
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "there is nothing to back up: see whether --data")
	require.NoFileExists(t, file+".empty")

	code, _, stderr = runWith(t, nil, "restore", file+".not", "--data", data)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "no such file")
	other := t.TempDir()
	code, _, stderr = runWith(t, nil, "import", syntheticLedger, "--data", other)
	require.Equal(t, exitOK, code, stderr)
	code, _, stderr = runWith(t, nil, "restore", file, "--data", other)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "restore into another data directory")
	code, stdout, _ := runWith(t, nil, "audit", syntheticLedger, "--data", other)
	require.Equal(t, exitOK, code)
	require.Contains(t, stdout, syntheticAudit, "and what was there is as it was")

	fresh := t.TempDir()
	for range 2 { // the second finds all of it there
		code, _, stderr = runWith(t, nil, "restore", file, "--data", fresh)
		require.Equal(t, exitOK, code, stderr)
		require.Contains(t, stderr, "restore: 349 events in 312 commits")
	}
	code, stdout, _ = runWith(t, nil, "audit", syntheticLedger, "--data", fresh)
	require.Equal(t, exitOK, code)
	require.Contains(t, stdout, syntheticAudit)
}

func TestADamagedBackupMakesNoBank(t *testing.T) {
	data, file := t.TempDir(), filepath.Join(t.TempDir(), "bank.archive")
	require.NoError(t, os.WriteFile(file, []byte("runnel archive 1\nand then something else"), 0o600))
	code, _, stderr := runWith(t, nil, "restore", file, "--data", data)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "archive damaged")
}
