// Package ledger reads the transactions of a real bank, and finds out in which order the bank booked them. They were
// published for the PKDD'99 Discovery Challenge (P. Berka, M. Sochorova).
//
// # The files
//
//	account.asc   "account_id";"district_id";"frequency";"date"
//	              576;55;"POPLATEK MESICNE";930101
//	trans.asc     "trans_id";"account_id";"date";"type";"operation";"amount";"balance";"k_symbol";"bank";"account"
//	              171812;576;930101;"PRIJEM";"VKLAD";900.00;900.00;"";;
//	order.asc     "order_id";"account_id";"bank_to";"account_to";"amount";"k_symbol"
//	              29401;1;"YZ";"87144583";2452.00;"SIPO"
//
// Semicolons separate fields, and texts are quoted. Dates are YYMMDD of the twentieth century. PRIJEM is a credit,
// VYDAJ and VYBER are debits. The balance is the balance of the account after the transaction, as the bank computed
// it. Orders are standing orders to other banks. Many of their accounts have no transaction in the file.
//
// # The booking order
//
// Within one day of one account, the file is not always in the order in which the bank booked. Some balances were
// rounded to 0.10. [Read] puts the rows of each account into the order that fits. From the rows of the day that are
// left it takes
//
//	the first whose balance is the balance before, plus or minus its amount      Exact
//	else the first that misses that by at most 0.10                              Rounding
//	else the first                                                               Discrepancy
//
// and goes on from the balance in that row.
//
// # Guarantees
//
// Every row is booked once, in any order. The same files lead to the same bookings. [ReadOrders] returns every order
// once, in the order of the file.
//
// # Errors
//
// [Read] and [ReadOrders] skip nothing. If a file is not as described, they return a [ParseError], which names the
// file and the line.
//
// # Concurrency
//
// [Read] and [ReadOrders] block until their two files are read. The caller owns the results.
package ledger
