package projection

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestABudgetFollowsTheLink(t *testing.T) {
	const second = time.Second
	b := newBudget(2 * second)
	require.Equal(t, batchBytes, b.limit())
	b.note(batchBytes, second/2, true)
	require.Equal(t, batchBytes, b.limit(), "there is an upper bound")
	b.note(batchBytes, 4*second, false)
	require.Equal(t, batchBytes/8, b.limit(), "it may have needed longer")
	b.note(batchBytes/8, 2*second, true)
	require.Equal(t, batchBytes/16, b.limit())
	b.note(batchBytes/16, second/2, true)
	require.Equal(t, batchBytes/16+batchBytes/64, b.limit(), "it grows slowly")
	b.note(batchBytes/16, second/2, false)
	b.note(10, 10*second, true)
	require.Equal(t, batchBytes/16+batchBytes/64, b.limit(), "that says nothing about the link")
	b.note(leastBytes, time.Hour, false)
	require.Equal(t, leastBytes, b.limit(), "there is a lower bound")
}
