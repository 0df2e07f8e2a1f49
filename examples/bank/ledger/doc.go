// Package ledger reads the transactions of a real bank, as published for the PKDD'99 Discovery Challenge (P. Berka, M.
// Sochorova), and finds out in which order the bank booked them.
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
// Fields are separated by semicolons, texts are quoted, dates are YYMMDD of the twentieth century. PRIJEM is a credit, VYDAJ and VYBER are
// debits. The balance is the account's after the transaction, by the bank's own reckoning. Orders are standing orders to other
// banks, of many accounts that have no transaction in the file.
//
// # The booking order
//
// Within one day of one account, the file is not always in the order in which the bank booked, and some balances the bank
// rounded to 0.10. [Read] puts each account's rows in the order that fits. From the rows of the day not yet booked it takes
//
//	the first whose balance is the balance before, plus or minus its amount      Exact
//	else the first that misses that by at most 0.10                              Rounding
//	else the first                                                               Discrepancy
//
// and goes on from the balance that the bank gave.
//
// # Guarantees
//
// Every row is booked once, in whatever order. The same files give the same bookings. [ReadOrders] gives every order once, as
// listed.
//
// # Errors
//
// What is not as described is a [ParseError], which names file and line. Nothing is skipped.
//
// # Concurrency
//
// [Read] and [ReadOrders] block until their two files are read. What they give is the caller's.
package ledger
