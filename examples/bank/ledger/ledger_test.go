package ledger_test

import (
	"io/fs"
	"os"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/examples/bank/ledger"
	"github.com/runnel-go/runnel/examples/bank/money"
)

func count(accounts []ledger.Account) (rows, negative int, fits map[ledger.Fit]int, sum money.Amount) {
	fits = make(map[ledger.Fit]int)
	for _, a := range accounts {
		for _, b := range a.Bookings {
			rows++
			fits[b.Fit]++
			if b.Balance < 0 {
				negative++
			}
		}
		sum += a.Last()
	}
	return rows, negative, fits, sum
}

func TestTheSyntheticLedgerIsReadInTheOrderItWasBooked(t *testing.T) {
	accounts, err := ledger.Read(os.DirFS("testdata/synthetic"))
	require.NoError(t, err)
	require.Len(t, accounts, syntheticAccounts)
	rows, negative, fits, sum := count(accounts)
	require.Equal(t, 300, rows)
	require.Equal(t, 1, negative)
	require.Equal(t, map[ledger.Fit]int{ledger.Exact: 263, ledger.Rounding: 34, ledger.Discrepancy: 3}, fits)
	require.Equal(t, "130634.85", sum.String())

	made := make(map[string][]int64)
	for _, a := range makeUp() {
		for _, r := range a.rows {
			made[r.Account] = append(made[r.Account], r.ID)
		}
	}
	for _, a := range accounts {
		var order []int64
		for _, b := range a.Bookings {
			order = append(order, b.ID)
		}
		require.Equal(t, made[a.ID], order, "account %s", a.ID)
	}
}

func TestTheRealLedgerIsWhatItsDescriptionSays(t *testing.T) {
	dir := os.Getenv("RUNNEL_LEDGER")
	if dir == "" {
		t.Skip("RUNNEL_LEDGER is not set: it names the folder of the real ledger, with account.asc and trans.asc")
	}
	accounts, err := ledger.Read(os.DirFS(dir))
	require.NoError(t, err)
	require.Len(t, accounts, 1229)
	rows, negative, fits, sum := count(accounts)
	require.Equal(t, 49102, rows)
	require.Equal(t, 93, negative)
	require.Equal(t, map[ledger.Fit]int{ledger.Exact: 46748, ledger.Rounding: 2325, ledger.Discrepancy: 29}, fits)
	require.Equal(t, "39243636.40", sum.String())
}

const (
	accountsHeader = "\"account_id\";\"district_id\";\"frequency\";\"date\"\n"
	rowsHeader     = `"trans_id";"account_id";"date";"type";"operation";"amount";"balance";"k_symbol";"bank";"account"` + "\n"
	oneAccount     = accountsHeader + "7;1;\"POPLATEK MESICNE\";930105\n"
)

func folder(accounts, rows string) fs.FS {
	return fstest.MapFS{"account.asc": {Data: []byte(accounts)}, "trans.asc": {Data: []byte(rows)}}
}

func TestARowOfTheDayThatFitsIsBookedFirst(t *testing.T) {
	accounts, err := ledger.Read(folder(oneAccount, rowsHeader+
		`3;7;930105;"VYDAJ";"VYBER";50.00;850.10;"SLUZBY";;`+"\n"+ // third, rounded by 0.04
		`2;7;930105;"PRIJEM";"VKLAD";0.06;900.06;"UROK";;`+"\n"+ // second
		`1;7;930105;"PRIJEM";"VKLAD";900.00;900.00;"";;`+"\n"+ // first
		`4;7;930106;"VYBER";"PREVOD NA UCET";900.00;-100.00;" ";"QX";"77"`+"\n")) // does not follow
	require.NoError(t, err)
	require.Equal(t, []ledger.Account{{ID: "7", Opened: "1993-01-05", Bookings: []ledger.Booking{
		{Row: ledger.Row{ID: 1, Account: "7", Date: "1993-01-05", Amount: 90000, Balance: 90000, Text: "cash in"}},
		{Row: ledger.Row{ID: 2, Account: "7", Date: "1993-01-05", Amount: 6, Balance: 90006, Text: "interest"}},
		{
			Row: ledger.Row{ID: 3, Account: "7", Date: "1993-01-05", Debit: true, Amount: 5000, Balance: 85010, Text: "fee"},
			Fit: ledger.Rounding, Difference: 4,
		},
		{
			Row: ledger.Row{ID: 4, Account: "7", Date: "1993-01-06", Debit: true, Amount: 90000, Balance: -10000, Text: "transfer out", Other: "QX/77"},
			Fit: ledger.Discrepancy, Difference: -5010,
		},
	}}}, accounts)
	require.Equal(t, "100.00", accounts[0].Overdraft().String())
}

func TestWhatIsNotAsDescribedIsRefusedWithItsLine(t *testing.T) {
	good := `1;7;930105;"PRIJEM";"VKLAD";900.00;900.00;"";;` + "\n"
	for name, c := range map[string]struct {
		accounts, rows string
		file           string
		line           int
	}{
		"empty accounts":     {"", rowsHeader, "account.asc", 1},
		"other header":       {"a;b;c;d\n", rowsHeader, "account.asc", 1},
		"account id":         {accountsHeader + "x;1;;930101\n", rowsHeader, "account.asc", 2},
		"account date":       {accountsHeader + "7;1;;931301\n", rowsHeader, "account.asc", 2},
		"account twice":      {oneAccount + "7;1;;930101\n", rowsHeader, "account.asc", 3},
		"too few fields":     {oneAccount, rowsHeader + good + "1;7;930105\n", "trans.asc", 3},
		"open quote":         {oneAccount, rowsHeader + good + `2;7;"930105`, "trans.asc", 3},
		"row id":             {oneAccount, rowsHeader + `0;7;930105;"PRIJEM";"VKLAD";1.00;1.00;"";;`, "trans.asc", 2},
		"row account":        {oneAccount, rowsHeader + `1;07;930105;"PRIJEM";"VKLAD";1.00;1.00;"";;`, "trans.asc", 2},
		"row date":           {oneAccount, rowsHeader + `1;7;930230;"PRIJEM";"VKLAD";1.00;1.00;"";;`, "trans.asc", 2},
		"type":               {oneAccount, rowsHeader + `1;7;930105;"PRIJEMX";"VKLAD";1.00;1.00;"";;`, "trans.asc", 2},
		"amount":             {oneAccount, rowsHeader + `1;7;930105;"PRIJEM";"VKLAD";1.001;1.00;"";;`, "trans.asc", 2},
		"negative amount":    {oneAccount, rowsHeader + `1;7;930105;"PRIJEM";"VKLAD";-1.00;1.00;"";;`, "trans.asc", 2},
		"huge amount":        {oneAccount, rowsHeader + `1;7;930105;"PRIJEM";"VKLAD";10000000000001.00;1.00;"";;`, "trans.asc", 2},
		"balance":            {oneAccount, rowsHeader + `1;7;930105;"PRIJEM";"VKLAD";1.00;;"";;`, "trans.asc", 2},
		"unknown account":    {oneAccount, rowsHeader + `1;8;930105;"PRIJEM";"VKLAD";1.00;1.00;"";;`, "trans.asc", 2},
		"transaction twice":  {oneAccount, rowsHeader + good + good, "trans.asc", 3},
		"quote in the field": {oneAccount, rowsHeader + `1;7;930105;PRI"JEM;"VKLAD";1.00;1.00;"";;`, "trans.asc", 2},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ledger.Read(folder(c.accounts, c.rows))
			var parse *ledger.ParseError
			require.ErrorAs(t, err, &parse)
			require.Equal(t, c.file, parse.File)
			require.Equal(t, c.line, parse.Line)
		})
	}
}

func TestAMissingFileIsNamed(t *testing.T) {
	_, err := ledger.Read(fstest.MapFS{"account.asc": {Data: []byte(oneAccount)}})
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "trans.asc")
}

// Every row that is read from any file is booked once. Each balance follows from the balance before it and the
// difference.
func FuzzRead(f *testing.F) {
	f.Add(rowsHeader + `1;7;930105;"PRIJEM";"VKLAD";900.00;900.00;"";;` + "\n")
	f.Add(rowsHeader + `2;7;930105;"VYDAJ";"VYBER";1.00;899.00;"SLUZBY";"QX";"1"` + "\r\n" + `1;7;930105;"PRIJEM";"";900.00;900.00;"";;`)
	f.Add(rowsHeader + `1;7;930105;"PRI` + "\n" + `JEM";"VKLAD";9`)
	f.Fuzz(func(t *testing.T, rows string) {
		accounts, err := ledger.Read(folder(oneAccount, rows))
		if err != nil {
			return
		}
		for _, a := range accounts {
			var balance money.Amount
			seen := make(map[int64]bool)
			for _, b := range a.Bookings {
				moved := b.Amount
				if b.Debit {
					moved = -moved
				}
				require.Equal(t, b.Balance, balance+moved+b.Difference)
				require.False(t, seen[b.ID])
				seen[b.ID], balance = true, b.Balance
			}
			require.GreaterOrEqual(t, a.Overdraft(), -balance)
		}
	})
}
