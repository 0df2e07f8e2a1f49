package ledger_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/examples/bank/ledger"
	"github.com/runnel-go/runnel/examples/bank/money"
)

// The ledger in testdata/synthetic is made up. It has the format of the real ledger and its difficulties: 300 rows of
// 12 accounts, some of one day and out of order. Some balances were rounded, some do not follow, and some are below
// zero. Its 40 standing orders belong to these accounts and one more. "go test ./ledger -update" writes it again.
var update = flag.Bool("update", false, "write testdata/synthetic anew")

const (
	syntheticAccounts = 12
	rowsPerAccount    = 25
)

// A madeUp account: its rows in the order in which they were booked.
type madeUp struct {
	id     int
	opened time.Time
	rows   []ledger.Row
}

func makeUp() []madeUp {
	random := rand.New(rand.NewPCG(1993, 300))
	accounts := make([]madeUp, syntheticAccounts)
	transID := int64(1000)
	for i := range accounts {
		a := madeUp{id: 7 + 13*i, opened: time.Date(1993, 1, 1+random.IntN(20), 0, 0, 0, 0, time.UTC)}
		day, balance := a.opened, money.Amount(0)
		for k := range rowsPerAccount {
			row := ledger.Row{ID: transID, Account: strconv.Itoa(a.id), Date: day.Format(time.DateOnly)}
			transID += int64(1 + random.IntN(9))
			row.Amount = money.Amount(100 * (1 + random.IntN(5000)))
			row.Debit = k > 0 && (balance > row.Amount && random.IntN(2) == 0 || i == 4 && k == 9) // 4 overdraws
			if random.IntN(6) == 0 {
				row.Debit, row.Amount = false, money.Amount(1+random.IntN(2000)) // interest, not in whole crowns
			}
			if row.Debit {
				balance -= row.Amount
			} else {
				balance += row.Amount
			}
			if i == 4 && k == 9 {
				balance, row.Amount = -41230, row.Amount+balance+41230
			}
			if balance > 0 && random.IntN(2) == 0 {
				balance = (balance + 5) / 10 * 10 // the bank rounds
			}
			if k == rowsPerAccount-1 && i%4 == 1 {
				balance += 12345 // what was booked in between is not in the file
			}
			row.Balance = balance
			a.rows = append(a.rows, row)
			if random.IntN(3) > 0 {
				day = day.AddDate(0, 0, 1+random.IntN(4))
			}
		}
		accounts[i] = a
	}
	return accounts
}

// files returns the two files.
func files(accounts []madeUp) map[string][]byte {
	var accountsFile, rowsFile bytes.Buffer
	accountsFile.WriteString("\"account_id\";\"district_id\";\"frequency\";\"date\"\r\n")
	rowsFile.WriteString(`"trans_id";"account_id";"date";"type";"operation";"amount";"balance";"k_symbol";"bank";"account"` + "\r\n")
	var rows []ledger.Row
	for _, a := range accounts {
		fmt.Fprintf(&accountsFile, "%d;1;\"POPLATEK MESICNE\";%s\r\n", a.id, a.opened.Format("060102"))
		rows = append(rows, a.rows...)
	}
	fmt.Fprint(&accountsFile, "9999;1;\"POPLATEK MESICNE\";931231\r\n") // without a transaction
	slices.SortStableFunc(rows, func(a, b ledger.Row) int { return bytes.Compare([]byte(a.Date), []byte(b.Date)) })
	for begin := 0; begin < len(rows); {
		end := begin
		for end < len(rows) && rows[end].Date == rows[begin].Date {
			end++
		}
		if rows[begin].Date[9]%2 == 0 {
			slices.Reverse(rows[begin:end])
		}
		begin = end
	}
	for _, r := range rows {
		kind, operation := "PRIJEM", "VKLAD"
		if r.Debit {
			kind, operation = "VYDAJ", "PREVOD NA UCET"
		}
		date, _ := time.Parse(time.DateOnly, r.Date)
		fmt.Fprintf(&rowsFile, "%d;%s;%s;%q;%q;%s;%s;\"\";", r.ID, r.Account, date.Format("060102"), kind, operation, r.Amount, r.Balance)
		if r.Debit {
			fmt.Fprintf(&rowsFile, "\"QX\";\"%08d\"", r.ID*7919%100_000_000)
		} else {
			rowsFile.WriteString(";")
		}
		rowsFile.WriteString("\r\n")
	}
	return map[string][]byte{"account.asc": accountsFile.Bytes(), "trans.asc": rowsFile.Bytes(), "order.asc": ordersFile(accounts)}
}

const syntheticOrders = 40

// ordersFile returns the standing orders.
func ordersFile(accounts []madeUp) []byte {
	random := rand.New(rand.NewPCG(1994, 40))
	var file bytes.Buffer
	file.WriteString(`"order_id";"account_id";"bank_to";"account_to";"amount";"k_symbol"` + "\r\n")
	for i := range syntheticOrders {
		account := 9999
		if i%8 != 7 {
			account = accounts[random.IntN(len(accounts))].id
		}
		symbol := []string{"SIPO", "UVER", "POJISTNE", "LEASING", " "}[random.IntN(5)]
		fmt.Fprintf(&file, "%d;%d;%q;\"%08d\";%s;%q\r\n", 500+i, account, []string{"YZ", "ST", "QR"}[random.IntN(3)],
			random.IntN(100_000_000), money.Amount(10*(1+random.IntN(60_000))), symbol)
	}
	return file.Bytes()
}

func TestTheSyntheticLedgerIsWhatTheGeneratorMakes(t *testing.T) {
	for name, want := range files(makeUp()) {
		path := filepath.Join("testdata", "synthetic", name)
		if *update {
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(t, os.WriteFile(path, want, 0o644))
		}
		have, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, string(want), string(have), "run go test ./ledger -update")
	}
}
