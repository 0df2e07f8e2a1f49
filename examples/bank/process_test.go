package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// programEnv is the variable of a process that is the bank's program.
const programEnv = "BANK_TEST_PROGRAM"

// process is a bank of its own, as a stranger would start it.
type process struct {
	*client
	cmd *exec.Cmd
}

func startProcess(t *testing.T, data string) *process {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe, "--addr", "127.0.0.1:0", "--data", data)
	cmd.Env = append(cmd.Environ(), programEnv+"=1", "NATS_URL=", "BANK_TOKEN=")
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	scanner := bufio.NewScanner(stdout)
	require.True(t, scanner.Scan(), "the bank did not start")
	url, ok := strings.CutPrefix(scanner.Text(), "listening on ")
	require.True(t, ok, scanner.Text())
	p := &process{client: &client{t: t, url: url}, cmd: cmd}
	require.Eventually(t, func() bool { return p.get("/readyz").status == http.StatusOK }, time.Minute, 20*time.Millisecond)
	return p
}

// kill ends the process as a crash would.
func (p *process) kill(t *testing.T) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Kill())
	require.Error(t, p.cmd.Wait())
}

// Four clients book as fast as they can while the bank is killed. Afterwards the log has all that was acknowledged,
// and at most the requests under way besides.
func TestWhatWasAcknowledgedSurvivesAKill(t *testing.T) {
	data := t.TempDir()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()

	const clients, enough = 4, 10
	acknowledged := make([]int, clients) // deposits
	for round := range 2 {
		bank := startProcess(t, data)
		if round == 0 {
			for i := range clients {
				bank.post("/accounts", fmt.Sprintf(`{"id":"c%d","owner":"Client"}`, i)).is(http.StatusCreated)
			}
		}
		var booking sync.WaitGroup
		reached := make(chan struct{}, clients)
		for i := range clients {
			booking.Go(func() {
				url := fmt.Sprintf("%s/accounts/c%d/deposits", bank.url, i)
				for n := 0; ; n++ {
					if n == enough {
						reached <- struct{}{}
					}
					r, err := (&http.Client{Transport: transport}).Post(url, "application/json", strings.NewReader(`{"amount":"1.00"}`))
					if err != nil {
						return // killed
					}
					_ = r.Body.Close()
					if r.StatusCode != http.StatusOK {
						return
					}
					acknowledged[i]++
				}
			})
		}
		for range clients {
			<-reached
		}
		bank.kill(t)
		booking.Wait()
	}

	bank := startProcess(t, data)
	defer bank.kill(t)
	for i, want := range acknowledged {
		var account Balance
		require.Eventually(t, func() bool { // the views catch up with what they had not folded
			a := bank.get(fmt.Sprintf("/accounts/c%d", i)).is(http.StatusOK)
			require.NoError(t, json.Unmarshal([]byte(a.body), &account))
			return int(account.Version) >= 1+want
		}, time.Minute, 20*time.Millisecond)
		require.LessOrEqual(t, int(account.Version), 1+want+2, "one booking may have been under way at each kill")
		require.Equal(t, int64(account.Version-1)*100, int64(account.Balance))
	}
}
