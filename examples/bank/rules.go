package main

import "fmt"

// Rule names why a command was rejected. It is part of the HTTP interface and does not change.
type Rule string

// The rules of the bank.
const (
	RuleNotOpen           Rule = "account-not-open"
	RuleAlreadyOpen       Rule = "account-already-open"
	RuleInvalidOwner      Rule = "invalid-owner"
	RuleNegativeOverdraft Rule = "negative-overdraft"
	RuleNotPositive       Rule = "amount-not-positive"
	RuleInvalidText       Rule = "invalid-text"
	RuleInsufficientFunds Rule = "insufficient-funds"
	RuleOutOfRange        Rule = "balance-out-of-range"
	RuleSameAccount       Rule = "same-account"
	RuleRowOutOfOrder     Rule = "row-out-of-order"
	RuleInvalidOrder      Rule = "invalid-order"
	RuleAlreadyReserved   Rule = "already-reserved"
	RuleNotReserved       Rule = "not-reserved"
	RuleAlreadyAnswered   Rule = "already-answered"
)

// RejectionError says by which rule the bank rejects a command.
type RejectionError struct {
	Rule   Rule
	Detail string // a sentence for people
}

func (r *RejectionError) Error() string { return r.Detail }

func reject(rule Rule, format string, args ...any) error {
	return &RejectionError{Rule: rule, Detail: fmt.Sprintf(format, args...)}
}
