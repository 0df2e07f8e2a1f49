package kv

import (
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/runnel-go/runnel/internal/token"
)

// Headers of NATS KV that make a message a deletion instead of a document (ADR-8 of NATS).
const (
	headerOperation    = "KV-Operation"
	headerMarkerReason = "Nats-Marker-Reason"
	operationDelete    = "DEL"
	operationPurge     = "PURGE"
)

// isBeside reports whether a KV key belongs to a place of package internal/inside. No key of a document is encoded so.
func isBeside(raw string) bool {
	return len(raw) > 1 && raw[0] == '=' && 'a' <= raw[1] && raw[1] <= 'z'
}

// filter turns a pattern of keys into a pattern of KV keys: it encodes the levels and keeps the wildcards.
func filter(pattern string) (string, error) {
	// Each key that matches contains what is not a wildcard.
	if fixed := strings.NewReplacer("*", "", ">", "").Replace(pattern); pattern == "" || len(fixed) > token.MaxID {
		return "", fmt.Errorf("a pattern of %d bytes matches no key, because a key has 1 to %d: to match all keys, pass no pattern",
			len(pattern), token.MaxID)
	}
	levels := strings.Split(pattern, ".")
	for i, level := range levels {
		if level == "*" || level == ">" && i == len(levels)-1 {
			continue
		}
		if level == "" {
			levels[i] = "=" // as token.EncodeKey does
			continue
		}
		encoded, err := token.Encode(level)
		if err != nil {
			return "", err
		}
		levels[i] = encoded
	}
	return strings.Join(levels, "."), nil
}

// covers reports whether a filter matches everything that another one matches.
func covers(filter, other string) bool {
	for {
		mine, restMine, moreMine := strings.Cut(filter, ".")
		its, restIts, moreIts := strings.Cut(other, ".")
		switch {
		case mine == ">":
			return true
		case its == ">", mine != its && mine != "*":
			return false
		case !moreMine || !moreIts:
			return moreMine == moreIts
		}
		filter, other = restMine, restIts
	}
}

// deleted reports whether a stored message says that its key has no document.
func deleted(header nats.Header) bool {
	if len(header) == 0 {
		return false
	}
	operation := header.Get(headerOperation)
	return operation == operationDelete || operation == operationPurge || header.Get(headerMarkerReason) != ""
}
