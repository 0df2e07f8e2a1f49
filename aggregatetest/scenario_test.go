package aggregatetest_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/aggregatetest"
	"github.com/runnel-go/runnel/eventstore"
)

// recorder is a test that may fail.
type recorder struct {
	testing.TB

	said string
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.said = fmt.Sprintf(format, args...)
	r.FailNow()
}

func (r *recorder) FailNow() { panic(r) }

// failing runs a function that must fail its test, and returns the message of the failure.
func failing(t *testing.T, f func(t testing.TB)) string {
	t.Helper()
	r := &recorder{TB: t}
	var inner sync.WaitGroup
	inner.Go(func() {
		defer func() {
			if p := recover(); p != nil && p != any(r) {
				t.Errorf("panic: %v", p)
			}
		}()
		f(r)
	})
	inner.Wait()
	require.NotEmpty(t, r.said, "it did not fail")
	return r.said
}

func TestScenariosHold(t *testing.T) {
	aggregatetest.For(t, wallet{}).ThenState(wallet{})
	aggregatetest.For(t, wallet{}).Given(earned{3}, tagged{map[string]int64{"a": 1}}).ThenState(wallet{Held: 3, Tags: map[string]int64{"a": 1}})
	aggregatetest.For(t, wallet{}).Given(earned{3}).Given(spent{1}).When(spend{2}).Then(spent{2}).ThenState(wallet{}).ThenKeeps(neverInDebt)
	aggregatetest.For(t, wallet{}).Given(tagged{map[string]int64{"a": 1}}).When(tag{"a"}).Then()
	aggregatetest.For(t, wallet{}).When(spend{1}).ThenError(errFunds)
	aggregatetest.For(t, wallet{}).When(earn{0}).ThenError(fmt.Errorf("%d is no income", 0))
	aggregatetest.For(t, wallet{}).Given(earned{3}, spent{2}).ThenStored(nil, walletEvents...)
	aggregatetest.For(t, wallet{}).Given(earned{3}).When(tag{"a"}).ThenStored(&eventstore.Config{Codec: eventstore.JSON}, walletEvents...)
}

func TestScenariosThatDoNotHoldSaySo(t *testing.T) {
	type scenario = *aggregatetest.Scenario[wallet, event]
	for name, c := range map[string]struct {
		then func(s scenario)
		says []string
	}{
		"other events":        {func(s scenario) { s.When(spend{2}).Then(spent{3}) }, []string{"- spent{Amount: 3}\n+ spent{Amount: 2}", "given\n\tearned{Amount: 5}\nwhen\n\tspend{Amount: 2}"}},
		"no events":           {func(s scenario) { s.When(spend{2}).Then() }, []string{"- no events\n+ spent{Amount: 2}"}},
		"a rejection":         {func(s scenario) { s.When(spend{6}).Then(spent{6}) }, []string{"the command is rejected: not enough\ngiven"}},
		"no rejection":        {func(s scenario) { s.When(spend{2}).ThenError(errFunds) }, []string{"the command is accepted, with\nspent{Amount: 2}"}},
		"another rejection":   {func(s scenario) { s.When(earn{-1}).ThenError(errFunds) }, []string{"the error is not as expected", "-1 is no income"}},
		"another state":       {func(s scenario) { s.ThenState(wallet{Held: 6}) }, []string{"- wallet{Held: 6}\n+ wallet{Held: 5}"}},
		"another state after": {func(s scenario) { s.When(spend{2}).ThenState(wallet{}) }, []string{"- wallet{}\n+ wallet{Held: 3}"}},
		"a broken invariant":  {func(s scenario) { s.Given(spent{6}).ThenKeeps(neverInDebt) }, []string{"it holds -0.01"}},
		"no invariant":        {func(s scenario) { s.ThenKeeps() }, []string{"ThenKeeps wants the invariants"}},
		"a law":               {func(s scenario) { s.When(decideBy{"", func(wallet) ([]event, error) { panic("no") }}) }, []string{"it does not panic: Decide panics: no"}},
		"no store":            {func(s scenario) { s.ThenStored(nil, earned{}, earned{}) }, []string{"open a store: ", "earned"}},
		"not registered":      {func(s scenario) { s.ThenStored(nil, spent{}) }, []string{"the store answers: ", "earned"}},
		"nor when sent":       {func(s scenario) { s.When(tag{"a"}).ThenStored(nil, earned{}) }, []string{"the store answers: ", "tagged"}},
	} {
		t.Run(name, func(t *testing.T) {
			said := failing(t, func(t testing.TB) { c.then(aggregatetest.For(t, wallet{}).Given(earned{5})) })
			for _, says := range c.says {
				require.Contains(t, said, says)
			}
		})
	}
}

func TestWhatCheckFindsFailsTheTest(t *testing.T) {
	wrong := decideBy{"wrong", func(wallet) ([]event, error) { return []event{spent{3}}, nil }}
	said := failing(t, func(t testing.TB) {
		aggregatetest.Check(t, wallet{}, walletEvents, anyCommand(wrong), nil, neverInDebt)
	})
	require.Equal(t, `aggregatetest: this does not hold: the invariants hold after every event: it holds -0.03

the shortest case that was found, as a test:

func TestWalletCounterexample(t *testing.T) {
	aggregatetest.For(t, wallet{}).
		When(decideBy{Name: "wrong", rule: nil /* a func */}).
		ThenKeeps(neverInDebt)
}
`, said)
	require.Contains(t, failing(t, func(t testing.TB) {
		aggregatetest.Check(t, wallet{}, []eventstore.Event{earned{}, earned{}}, anyCommand(tag{"x"}), nil)
	}), "which is not among the events")
}

func TestAnInvariantWithoutANameIsLeftToBeNamed(t *testing.T) {
	found := aggregatetest.Search(t, wallet{}, walletEvents, anyCommand(), nil, func(_ []event, w wallet) error {
		if w.Held > 5 {
			return fmt.Errorf("%s is too much", w.Held)
		}
		return nil
	})
	require.NotNil(t, found)
	require.Contains(t, found.Test, "ThenKeeps( /* the invariant that does not hold, which has no name */ )")
}

// overspend is a command with a mistake.
type overspend struct{ Amount int64 }

func (c overspend) Decide(w wallet) ([]event, error) {
	return []event{spent{w.Held + 1}}, nil
}

// The tests that Check prints are vetted with the tests of this package.
func TestPrintedTestsCompile(t *testing.T) {
	found := aggregatetest.Search(t, wallet{}, walletEvents, anyCommand(overspend{1}), nil, neverInDebt)
	require.NotNil(t, found)
	stored := aggregatetest.Search(t, hiding{}, walletEvents, rapid.Just[aggregate.Command[hiding, event]](hide{1}), nil)
	require.NotNil(t, stored)
	dir := t.TempDir()
	code := "package aggregatetest_test\n\nimport (\n\t\"testing\"\n\n\t\"github.com/runnel-go/runnel/aggregatetest\"\n)\n\n" + found.Test + "\n" + stored.Test
	pasted := filepath.Join(dir, "pasted_test.go")
	require.NoError(t, os.WriteFile(pasted, []byte(code), 0o600))
	here, err := filepath.Abs(".")
	require.NoError(t, err)
	overlay := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(overlay, fmt.Appendf(nil, `{"Replace": {%q: %q}}`, filepath.Join(here, "pasted_test.go"), pasted), 0o600))
	vet := exec.CommandContext(t.Context(), "go", "vet", "-overlay", overlay, ".")
	out, err := vet.CombinedOutput()
	require.NoError(t, err, "%s\n%s", out, code)

	// Pasted, they would fail.
	require.Contains(t, failing(t, func(t testing.TB) {
		aggregatetest.For(t, hiding{}).When(hide{Amount: 1}).ThenStored(nil, walletEvents...)
	}), "does not survive being stored")
	require.Contains(t, failing(t, func(t testing.TB) {
		aggregatetest.For(t, wallet{}).When(overspend{Amount: 1}).ThenKeeps(neverInDebt)
	}), "it holds -0.01")
}
