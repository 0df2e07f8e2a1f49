package runnel_test

import (
	"os"
	"testing"
)

// TestMain runs the tests in a folder of their own, where the example's ./data does not stay.
func TestMain(m *testing.M) {
	root, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	dir, err := os.MkdirTemp("", "runnel")
	if err != nil {
		panic(err)
	}
	if err := os.Chdir(dir); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.Chdir(root)
	_ = os.RemoveAll(dir)
	os.Exit(code)
}
