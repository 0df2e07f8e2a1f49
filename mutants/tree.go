package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	// testTimeout bounds one test. A bug may make it wait for ever, which counts as a failure.
	testTimeout = 2 * time.Minute
	// buildTimeout bounds a build and a test together.
	buildTimeout = 10 * time.Minute
)

// tree is a copy of the tree that patches are applied to.
type tree struct {
	dir  string
	hash [sha256.Size]byte // of all files but the patches
}

// copyTree copies the files that git knows, as they are in the folder, and new files.
func copyTree(root string) (*tree, error) {
	// The folder may belong to another user, which git refuses unless it is told.
	list, err := exec.CommandContext(context.Background(), "git", "-c", "safe.directory=*", "-C", root,
		"ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return nil, fmt.Errorf("list the files of %s: %w", root, err)
	}
	dir, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return nil, err
	}
	t := &tree{dir: dir}
	sum := sha256.New()
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		if strings.HasPrefix(name, "mutants/") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(root, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed, and not committed yet
		}
		if err == nil {
			sum.Write(fmt.Appendf(nil, "%s %d\n%s", name, len(data), data))
			err = write(filepath.Join(dir, name), data)
		}
		if err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
	}
	sum.Sum(t.hash[:0])
	return t, nil
}

func write(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o600)
}

// key names a mutant of this tree.
func (t *tree) key(m mutant) string {
	sum := sha256.Sum256(append(t.hash[:], m.patch...))
	return hex.EncodeToString(sum[:16])
}

// try applies a mutant, runs its test, and takes it back.
func (t *tree) try(m mutant) (verdict, string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	if output, err := t.apply(ctx, m); err != nil {
		return doesNotApply, output, nil
	}
	verdict, output := t.test(ctx, m)
	if said, err := t.apply(ctx, m, "--reverse"); err != nil {
		return "", "", fmt.Errorf("take %s back: %w: %s", m.name, err, said)
	}
	return verdict, output, nil
}

func (t *tree) apply(ctx context.Context, m mutant, options ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"apply"}, options...)...)
	cmd.Dir, cmd.Stdin = t.dir, bytes.NewReader(m.patch)
	// The copy is not in a repository, even if the temporary folder is.
	cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(t.dir))
	output, err := cmd.CombinedOutput()
	return string(output), err
}

// test runs the mutant's test. It builds separately, because a patch that does not compile was not caught by a
// test.
func (t *tree) test(ctx context.Context, m mutant) (verdict, string) {
	binary := filepath.Join(t.dir, "mutant.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, m.pkg)
	build.Dir = t.dir
	if output, err := build.CombinedOutput(); err != nil {
		return doesNotCompile, string(output)
	}
	run := exec.CommandContext(ctx, binary, "-test.v", "-test.run", "^"+m.test+"$", "-test.timeout", testTimeout.String())
	run.Dir = filepath.Join(t.dir, m.pkg)
	output, err := run.CombinedOutput()
	said := string(output)
	switch {
	case !strings.Contains(said, "=== RUN   "+m.test+"\n"):
		return noSuchTest, said
	case err == nil:
		return survived, said
	case strings.Contains(said, "--- FAIL: "+m.test), strings.Contains(said, "\npanic: "):
		return caught, ""
	}
	return noTestFailed, said
}
