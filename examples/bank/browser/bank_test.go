package browser

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// bank is the example's program, as a stranger would start it.
type bank struct{ url string }

// startBank builds the bank and serves it until the test ends, on a free port and in a folder of the test's.
func startBank(t *testing.T, others string) *bank {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "bank")
	out, err := exec.Command("go", "build", "-C", "..", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	// A payment that waits for an answer must not be given up before a slow machine has shown it.
	cmd := exec.Command(binary, "--addr", "127.0.0.1:0", "--answer-within", "10m", "--data", filepath.Join(t.TempDir(), "data"))
	cmd.Env = append(cmd.Environ(), "NATS_URL=", "BANK_TOKEN=", "BANK_FRAUD_WEBHOOK=", "LOG_LEVEL=WARN", "BANK_OTHER_BANKS="+others)
	cmd.Stderr = t.Output()
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Signal(os.Interrupt))
		require.NoError(t, cmd.Wait())
	})
	scanner := bufio.NewScanner(stdout)
	require.True(t, scanner.Scan(), "the bank did not start")
	url, ok := strings.CutPrefix(scanner.Text(), "listening on ")
	require.True(t, ok, scanner.Text())
	return &bank{url: url}
}

// post sends what others than the customer on the page send.
func (b *bank) post(t *testing.T, path string, document map[string]string) {
	t.Helper()
	body, err := json.Marshal(document)
	require.NoError(t, err)
	answer, err := http.Post(b.url+path, "application/json", strings.NewReader(string(body)))
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Less(t, answer.StatusCode, http.StatusMultipleChoices, path)
}

// populate opens some accounts, so that the test must find one among them.
func (b *bank) populate(t *testing.T) {
	t.Helper()
	for _, c := range []struct{ id, owner, deposit, withdrawal string }{
		{"bakery", "Bakery at the Bridge", "48210.75", "6150.00"},
		{"ciara", "Ciara O'Neill", "310.00", "455.20"},
		{"jiri", "Jiří Dvořák", "12800.00", "940.50"},
		{"mei", "Mei Chen", "2075.40", "75.40"},
		{"rowing-club", "Rowing Club", "990.00", "15.00"},
	} {
		b.post(t, "/accounts", map[string]string{"id": c.id, "owner": c.owner, "overdraft": "500"})
		b.post(t, "/accounts/"+c.id+"/deposits", map[string]string{"amount": c.deposit})
		b.post(t, "/accounts/"+c.id+"/withdrawals", map[string]string{"amount": c.withdrawal})
	}
}

// otherBank is asked to pay, and takes a payment once the test lets it.
type otherBank struct {
	mu    sync.Mutex
	gates map[string]chan struct{} // account -> closed once payments to it are taken
}

func startOtherBank(t *testing.T) (other *otherBank, url string) {
	t.Helper()
	other = &otherBank{gates: make(map[string]chan struct{})}
	server := httptest.NewServer(other)
	t.Cleanup(server.Close)
	return other, server.URL
}

// gate returns the gate of an account.
func (o *otherBank) gate(account string) chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.gates[account] == nil {
		o.gates[account] = make(chan struct{})
	}
	return o.gates[account]
}

// take lets payments to an account be taken from now on.
func (o *otherBank) take(account string) { close(o.gate(account)) }

// ServeHTTP takes payments and their cancels. The test decides what becomes of a payment.
func (o *otherBank) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		return // forgotten
	}
	var payment struct{ Account string }
	if err := json.NewDecoder(r.Body).Decode(&payment); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	select {
	case <-o.gate(payment.Account):
	case <-r.Context().Done(): // it will be asked again
	}
}
