package ledger

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/runnel-go/runnel/examples/bank/money"
)

const (
	accountsFile   = "account.asc"
	accountsHeader = "account_id;district_id;frequency;date"
	rowsFile       = "trans.asc"
	rowsHeader     = "trans_id;account_id;date;type;operation;amount;balance;k_symbol;bank;account"
)

// maxAmount keeps all sums far below what an Amount can hold.
const maxAmount money.Amount = 1_000_000_000_000_000

// ParseError names a place in a file that is not as the package documentation says.
type ParseError struct {
	File string
	Line int // from 1; 0 if the error is about the whole file
	Err  error
}

func (e *ParseError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("ledger: %s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("ledger: %s line %d: %v: correct the file and read it again", e.File, e.Line, e.Err)
}

// Unwrap returns the cause.
func (e *ParseError) Unwrap() error { return e.Err }

// Read returns the accounts of the ledger in a directory that have transactions, in the order of their first
// transaction. Their bookings are in booking order. Use os.DirFS for the argument. Read returns a [ParseError], which
// wraps the error of fsys if a file cannot be opened.
func Read(fsys fs.FS) ([]Account, error) {
	opened, err := readAccounts(fsys)
	if err != nil {
		return nil, err
	}
	rows, order, err := readRows(fsys, opened)
	if err != nil {
		return nil, err
	}
	accounts := make([]Account, 0, len(order))
	for _, id := range order {
		slices.SortStableFunc(rows[id], func(a, b Row) int { return strings.Compare(a.Date, b.Date) })
		accounts = append(accounts, Account{ID: id, Opened: opened[id], Bookings: book(rows[id])})
	}
	return accounts, nil
}

// readAccounts returns on which dates the accounts were opened.
func readAccounts(fsys fs.FS) (map[string]string, error) {
	opened := make(map[string]string)
	err := eachLine(fsys, accountsFile, accountsHeader, func(fields []string) error {
		id, err := parseID(fields[0])
		if err != nil {
			return err
		}
		if _, again := opened[id]; again {
			return fmt.Errorf("account %s is listed twice", id)
		}
		opened[id], err = parseDate(fields[3])
		return err
	})
	return opened, err
}

// readRows returns the transactions by account, and the accounts in the order of their first transaction.
func readRows(fsys fs.FS, opened map[string]string) (map[string][]Row, []string, error) {
	rows := make(map[string][]Row)
	seen := make(map[int64]bool)
	var order []string
	err := eachLine(fsys, rowsFile, rowsHeader, func(fields []string) error {
		row, err := parseRow(fields)
		if err != nil {
			return err
		}
		switch _, known := opened[row.Account]; {
		case !known:
			return fmt.Errorf("account %s is not in %s", row.Account, accountsFile)
		case seen[row.ID]:
			return fmt.Errorf("trans_id %d is listed twice", row.ID)
		case row.Amount > maxAmount || row.Balance.Abs() > maxAmount:
			return fmt.Errorf("an amount above %s", maxAmount)
		}
		if _, again := rows[row.Account]; !again {
			order = append(order, row.Account)
		}
		seen[row.ID] = true
		rows[row.Account] = append(rows[row.Account], row)
		return nil
	})
	return rows, order, err
}

// eachLine calls do for each line of a file after its header.
func eachLine(fsys fs.FS, name, header string, do func(fields []string) error) (err error) {
	file, err := fsys.Open(name)
	if err != nil {
		return &ParseError{File: name, Err: err}
	}
	defer func() { err = errors.Join(err, file.Close()) }()

	reader := csv.NewReader(file)
	reader.Comma = ';'
	reader.ReuseRecord = true
	reader.FieldsPerRecord = strings.Count(header, ";") + 1
	for first := true; ; first = false {
		fields, err := reader.Read()
		if errors.Is(err, io.EOF) && !first {
			return nil
		}
		line := 1
		switch {
		case err != nil:
		case first && strings.Join(fields, ";") != header:
			err = fmt.Errorf("the header is not %s", header)
		case !first:
			line, _ = reader.FieldPos(0)
			err = do(fields)
		}
		if err != nil {
			if malformed := (*csv.ParseError)(nil); errors.As(err, &malformed) {
				line, err = malformed.Line, malformed.Err
			}
			return &ParseError{File: name, Line: line, Err: err}
		}
	}
}
