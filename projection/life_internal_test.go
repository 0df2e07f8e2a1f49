package projection

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// In an outage the servers answer nobody: neither the one that would show life, nor the one that looks for it.
func TestAnOutageIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const beat = 1500 * time.Millisecond
		var w vigil
		require.Equal(t, time.Second, w.silence("a", time.Second, beat), "it was as old already")
		<-time.After(250 * time.Millisecond)
		require.Equal(t, 1250*time.Millisecond, w.silence("a", 0, beat))
		<-time.After(15 * time.Second)
		require.Equal(t, 2750*time.Millisecond, w.silence("a", 0, beat))
		<-time.After(time.Second)
		require.Equal(t, 3750*time.Millisecond, w.silence("a", 0, beat))
		<-time.After(time.Second)
		require.Zero(t, w.silence("b", 0, beat))
	})
}
