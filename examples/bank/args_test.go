package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func runWith(t *testing.T, variables map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), args, environment{
		lookup: func(name string) (string, bool) { value, ok := variables[name]; return value, ok },
		stdout: &out, stderr: &err,
	})
	return code, out.String(), err.String()
}

func TestWrongUseIsExplained(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"unknown sub-command":       {[]string{"export"}, `unknown sub-command "export"`},
		"unknown flag":              {[]string{"serve", "--port", "1"}, "flag provided but not defined: -port"},
		"flag of another":           {[]string{"import", "--addr", ":1", "dir"}, "flag provided but not defined: -addr"},
		"flag without value":        {[]string{"--data"}, "flag needs an argument"},
		"surplus of serve":          {[]string{"serve", "now"}, `surplus argument "now"`},
		"import without folder":     {[]string{"import"}, "which folder?"},
		"surplus of import":         {[]string{"import", "dir", "--data", "x", "other"}, `surplus argument "other"`},
		"backup without file":       {[]string{"backup"}, "which file? It is made"},
		"restore without file":      {[]string{"restore", "--data", "x"}, "which file? A backup made it"},
		"audit without folder":      {[]string{"audit", "--data", "x"}, "which folder?"},
		"open address":              {[]string{"--addr", "0.0.0.0:8080"}, "set BANK_TOKEN"},
		"open address without host": {[]string{"serve", "--addr", ":8080"}, "set BANK_TOKEN"},
		"open address with name":    {[]string{"serve", "--addr", "example.com:80"}, "set BANK_TOKEN"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := runWith(t, nil, c.args...)
			require.Equal(t, exitUsage, code)
			require.Contains(t, stderr, c.says)
			require.Empty(t, stdout)
		})
	}
}

func TestHelpIsGiven(t *testing.T) {
	for _, args := range [][]string{
		{"--help"}, {"-h"}, {"help"}, {"serve", "--help"}, {"import", "--help"}, {"audit", "dir", "--help"},
	} {
		code, stdout, stderr := runWith(t, nil, args...)
		require.Equal(t, exitOK, code, args)
		require.Contains(t, stdout, "bank import DIR", args)
		require.Empty(t, stderr, args)
	}
}

func TestSettingsAreCheckedBeforeAnythingRuns(t *testing.T) {
	code, _, stderr := runWith(t, map[string]string{"LOG_LEVEL": "loud"}, "import", "nowhere", "--data", t.TempDir())
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "LOG_LEVEL")
}

func TestAFolderThatIsNotThereIsSaid(t *testing.T) {
	for _, name := range []string{"import", "audit"} {
		code, _, stderr := runWith(t, nil, name, t.TempDir(), "--data", t.TempDir())
		require.Equal(t, exitFailed, code)
		require.Contains(t, stderr, "account.asc")
	}
}

func TestTheProgramImportsAndAudits(t *testing.T) {
	data := t.TempDir()
	code, stdout, _ := runWith(t, nil, "audit", syntheticLedger, "--data", data)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stdout, "audit: 0 rows agree, 0 listed, 301 wrong\n") // 300 rows, and the sum

	code, _, stderr := runWith(t, nil, "import", "--data", data, syntheticLedger)
	require.Equal(t, exitOK, code)
	require.Contains(t, stderr, "import: 349 events booked")

	code, stdout, _ = runWith(t, nil, "audit", "--data", data, syntheticLedger)
	require.Equal(t, exitOK, code)
	require.Contains(t, stdout, syntheticAudit)
}

func TestLoopbackIsThisMachineOnly(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:8080": true, "127.8.9.1:1": true, "[::1]:80": true, "localhost:0": true,
		"0.0.0.0:80": false, "[::]:80": false, ":80": false, "10.0.0.1:80": false, "localhost.example.com:80": false,
	} {
		require.Equal(t, want, isLoopback(addr), addr)
	}
}
