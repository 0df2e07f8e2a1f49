package plain_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/internal/plain"
)

// The check of a value that a format can hold allocates nothing, because it looks at every document of a view.
func TestNothingIsAllocatedToRefuseNothing(t *testing.T) {
	type part struct {
		At   time.Time
		Next *part
	}
	type whole struct {
		At    time.Time
		Parts []part
		Names map[string]string
	}
	shape, err := plain.JSON.Of(reflect.TypeFor[whole]())
	require.NoError(t, err)
	require.True(t, shape.Picky)
	value := reflect.ValueOf(&whole{At: time.Now(), Parts: []part{{Next: &part{}}, {At: time.Now().UTC()}}}).Elem()
	require.Zero(t, testing.AllocsPerRun(100, func() { err = shape.Refuse(value) }))
	require.NoError(t, err)
}
