package figures

import (
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

func TestOnlyWhatIsInFlightIsWrittenAgain(t *testing.T) {
	inFlight := fmt.Errorf("append: %w", &jetstream.APIError{ErrorCode: jetstream.JSErrCodeStreamWrongLastSequenceConstant})
	moved := &jetstream.APIError{ErrorCode: jetstream.JSErrCodeStreamWrongLastSequence}
	for name, test := range map[string]struct {
		answers []error // of the tries, the last of them from then on
		tries   int
	}{
		"stored":           {[]error{nil}, 1},
		"in flight twice":  {[]error{inFlight, inFlight, nil}, 3},
		"a real conflict":  {[]error{inFlight, moved}, 2},
		"another error":    {[]error{errors.New("cut")}, 1},
		"always in flight": {[]error{inFlight}, 1000},
	} {
		tries := 0
		sequence, err := again(func() (uint64, error) {
			tries++
			return uint64(tries), test.answers[min(tries, len(test.answers))-1]
		})
		require.Equal(t, test.tries, tries, name)
		require.EqualValues(t, tries, sequence, name)
		require.Equal(t, test.answers[len(test.answers)-1], err, name)
	}
}
