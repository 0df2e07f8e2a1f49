package measure

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Folder keeps results, one file a figure.
type Folder string

func (f Folder) path(figure string) string { return filepath.Join(string(f), figure+".json") }

// Read returns the result of a figure, if there is one.
func (f Folder) Read(figure string) (result Result, found bool, err error) {
	data, err := os.ReadFile(f.path(figure))
	if os.IsNotExist(err) {
		return Result{}, false, nil
	}
	if err != nil {
		return Result{}, false, err
	}
	if err := json.Unmarshal(data, &result); err != nil {
		return Result{}, false, fmt.Errorf("%s: %w: remove it to measure anew", f.path(figure), err)
	}
	return result, true, nil
}

// Write keeps a result.
func (f Folder) Write(result Result) error {
	data, err := json.MarshalIndent(result, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(string(f), 0o750); err != nil {
		return err
	}
	temporary := f.path(result.Figure) + ".new"
	if err := os.WriteFile(temporary, append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, f.path(result.Figure)) // so that a result is whole or missing
}
