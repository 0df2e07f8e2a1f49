package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheLoggerWritesTheServiceFromItsLevelOn(t *testing.T) {
	written := func(level string) string {
		var out bytes.Buffer
		env := environment{stderr: &out, lookup: func(string) (string, bool) { return level, level != "" }}
		log, err := env.newLogger("savings")
		require.NoError(t, err)
		log.Info("one")
		log.Warn("two")
		return out.String()
	}
	require.Contains(t, written(""), `"msg":"one","service":"savings"`)
	require.NotContains(t, written("WARN"), "one")
	require.Contains(t, written("warn"), `"level":"WARN","msg":"two","service":"savings"`)
}
