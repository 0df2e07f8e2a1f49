package jsapi

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestAWhileIsOneBeatToTwoWhoeverElseWaits(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		pauses := rapid.SliceOfN(rapid.IntRange(0, 40), 1, 20).Draw(rt, "milliseconds before each wait")
		synctest.Test(t, func(t *testing.T) {
			p := newPulse()
			for _, pause := range pauses {
				<-time.After(time.Duration(pause) * time.Millisecond)
				begun, passed := time.Now(), p.while()
				go func() {
					<-passed
					assert.GreaterOrEqual(t, time.Since(begun), beat)
					assert.LessOrEqual(t, time.Since(begun), 2*beat)
				}()
			}
			<-time.After(4 * beat)
			synctest.Wait()
			require.False(t, p.beating, "it beats though nobody waits")
		})
	})
}
