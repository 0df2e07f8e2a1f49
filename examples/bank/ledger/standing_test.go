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

const ordersHeader = `"order_id";"account_id";"bank_to";"account_to";"amount";"k_symbol"` + "\n"

func ordersFolder(accounts, orders string) fs.FS {
	return fstest.MapFS{"account.asc": {Data: []byte(accounts)}, "order.asc": {Data: []byte(orders)}}
}

// countOrders returns how many accounts have orders, the sum of all orders, and how many orders there are for each
// purpose.
func countOrders(orders []ledger.Order) (accounts int, sum money.Amount, texts map[string]int) {
	seen := make(map[string]bool)
	texts = make(map[string]int)
	for _, o := range orders {
		seen[o.Account] = true
		sum += o.Amount
		texts[o.Text]++
	}
	return len(seen), sum, texts
}

func TestTheSyntheticOrdersAreRead(t *testing.T) {
	orders, err := ledger.ReadOrders(os.DirFS("testdata/synthetic"))
	require.NoError(t, err)
	require.Len(t, orders, syntheticOrders)
	accounts, sum, texts := countOrders(orders)
	require.Equal(t, 12, accounts)
	require.Equal(t, "125885.60", sum.String())
	require.Equal(t, map[string]int{"household": 9, "leasing": 9, "loan": 9, "insurance": 4, "": 9}, texts)
}

func TestTheRealOrdersAreWhatTheirDescriptionSays(t *testing.T) {
	dir := os.Getenv("RUNNEL_LEDGER")
	if dir == "" {
		t.Skip("RUNNEL_LEDGER is not set: it names the folder of the real ledger, with account.asc and order.asc")
	}
	orders, err := ledger.ReadOrders(os.DirFS(dir))
	require.NoError(t, err)
	require.Len(t, orders, 6471)
	accounts, sum, texts := countOrders(orders)
	require.Equal(t, 3758, accounts)
	require.Equal(t, "21228993.60", sum.String())
	require.Equal(t, map[string]int{"household": 3502, "loan": 717, "insurance": 532, "leasing": 341, "": 1379}, texts)
}

func TestAnOrderIsReadAsItIsListed(t *testing.T) {
	orders, err := ledger.ReadOrders(ordersFolder(oneAccount, ordersHeader+
		`9;7;"YZ";"87144583";2452.00;"SIPO"`+"\n"+
		`3;7;"ST";"00000017";0.10;" "`+"\n"))
	require.NoError(t, err)
	require.Equal(t, []ledger.Order{
		{ID: 9, Account: "7", Opened: "1993-01-05", Bank: "YZ", To: "87144583", Amount: 245200, Text: "household"},
		{ID: 3, Account: "7", Opened: "1993-01-05", Bank: "ST", To: "00000017", Amount: 10},
	}, orders)
}

func TestAnOrderThatIsNotAsDescribedIsRefusedWithItsLine(t *testing.T) {
	good := `9;7;"YZ";"87144583";2452.00;"SIPO"` + "\n"
	for name, c := range map[string]struct {
		orders string
		line   int
	}{
		"empty":           {"", 1},
		"other header":    {"a;b;c;d;e;f\n", 1},
		"too few fields":  {ordersHeader + good + "10;7\n", 3},
		"order id":        {ordersHeader + `x;7;"YZ";"1";1.00;""`, 2},
		"order id of 0":   {ordersHeader + `0;7;"YZ";"1";1.00;""`, 2},
		"account":         {ordersHeader + `9;07;"YZ";"1";1.00;""`, 2},
		"unknown account": {ordersHeader + `9;8;"YZ";"1";1.00;""`, 2},
		"no bank":         {ordersHeader + `9;7;" ";"1";1.00;""`, 2},
		"no payee":        {ordersHeader + `9;7;"YZ";"";1.00;""`, 2},
		"amount":          {ordersHeader + `9;7;"YZ";"1";1.001;""`, 2},
		"amount of 0":     {ordersHeader + `9;7;"YZ";"1";0.00;""`, 2},
		"huge amount":     {ordersHeader + `9;7;"YZ";"1";10000000000001.00;""`, 2},
		"twice":           {ordersHeader + good + good, 3},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ledger.ReadOrders(ordersFolder(oneAccount, c.orders))
			var parse *ledger.ParseError
			require.ErrorAs(t, err, &parse)
			require.Equal(t, "order.asc", parse.File)
			require.Equal(t, c.line, parse.Line)
		})
	}
	_, err := ledger.ReadOrders(ordersFolder("", ""))
	require.ErrorContains(t, err, "account.asc")
	_, err = ledger.ReadOrders(fstest.MapFS{"account.asc": {Data: []byte(oneAccount)}})
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// Whatever the file holds: what is read is whole, and no order comes twice.
func FuzzReadOrders(f *testing.F) {
	f.Add(ordersHeader + `9;7;"YZ";"87144583";2452.00;"SIPO"` + "\n")
	f.Add(ordersHeader + `9;7;"YZ";"1";0.01;" "` + "\r\n" + `8;7;"Y` + "\n" + `Z";"1";1;""`)
	f.Fuzz(func(t *testing.T, text string) {
		orders, err := ledger.ReadOrders(ordersFolder(oneAccount, text))
		if err != nil {
			return
		}
		seen := make(map[int64]bool)
		for _, o := range orders {
			require.False(t, seen[o.ID])
			seen[o.ID] = true
			require.Equal(t, "7", o.Account)
			require.Positive(t, o.Amount)
			require.NotEmpty(t, o.Bank)
			require.NotEmpty(t, o.To)
		}
	})
}
