package serverversion_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/internal/serverversion"
)

func TestSupported(t *testing.T) {
	for version, want := range map[string]bool{
		"2.11.99": false, "2.12.14": false, "2.12.15": true, "2.13.0": false, "2.13.9": false, "2.14.3": false,
		"2.14.4": true, "2.15.0": true, "2.15.2-dev": true, "2.100.0": true, "3.0.0": true, "1.99.0": false, "1.14.4": false,
		"": false, "2.15": false, "2.x.0": false, "two": false, "2.15.0.1": false, "2.14.4x": false, "+2.14.4": false,
	} {
		require.Equal(t, want, serverversion.Supported(version), version)
	}
}

func TestExpectsByIndex(t *testing.T) {
	for version, want := range map[string]bool{
		"2.14.10": false, "2.15.2": false, "2.15.3-RC.1": false, "2.15.3": true, "2.16.0": true, "3.0.0": true,
		"unknown": false, "": false,
	} {
		require.Equal(t, want, serverversion.ExpectsByIndex(version), version)
	}
}
