package table

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheNewestVersionIsStarted(t *testing.T) {
	root := filepath.Join(t.TempDir(), "postgresql")
	for _, version := range []string{"9", "15", "17"} {
		dir := filepath.Join(root, version, "bin")
		require.NoError(t, os.MkdirAll(dir, 0o755))
		for _, program := range []string{"initdb", "postgres"} {
			if version == "17" && program == "postgres" {
				continue // only the programs of its clients are there
			}
			require.NoError(t, os.WriteFile(filepath.Join(dir, program), nil, 0o755))
		}
	}
	found, err := newest([]string{"/nowhere/*/bin", root + "/*/bin"})
	require.NoError(t, err)
	require.Equal(t, filepath.Join(root, "15", "bin"), found)
}

func TestWhereThereIsNoPostgresTheErrorSaysWhatToInstall(t *testing.T) {
	_, err := newest([]string{t.TempDir() + "/*"})
	require.ErrorIs(t, err, ErrNoPostgres)
	require.ErrorContains(t, err, "apt-get install postgresql")
	require.ErrorContains(t, err, EnvURL)
}

func TestTheServerOfTheReaderIsUsed(t *testing.T) {
	t.Setenv(EnvURL, "postgres://somewhere/else")
	server, err := Start(t.Context())
	require.NoError(t, err)
	require.Equal(t, "postgres://somewhere/else", server.URL)
	require.NoError(t, server.Close())
}
