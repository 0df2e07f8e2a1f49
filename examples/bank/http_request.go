package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/examples/bank/money"
)

const (
	maxBody = 1 << 20
	maxID   = 64
	maxKey  = 256 - len(clientKeys) // bytes of an Idempotency-Key
)

// readBody decodes the request's JSON document. It refuses bytes after it.
func readBody(w http.ResponseWriter, r *http.Request, document any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return newProblem(http.StatusUnsupportedMediaType, "send Content-Type: application/json")
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(document)
	if err == nil {
		if _, more := decoder.Token(); !errors.Is(more, io.EOF) {
			err = fmt.Errorf("there is more after the document: %w", cmp.Or(more, errTrailing))
		}
	}
	return bodyProblem(err)
}

// errTrailing means that a second JSON value follows the first.
var errTrailing = errors.New("send one")

// bodyProblem says what is wrong with a body, in the terms of JSON and not of Go.
func bodyProblem(err error) error {
	var (
		tooLarge  *http.MaxBytesError
		wrongType *json.UnmarshalTypeError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &tooLarge):
		return newProblem(http.StatusRequestEntityTooLarge, "the body has more than %d bytes", tooLarge.Limit)
	case errors.As(err, &wrongType):
		return newProblem(http.StatusBadRequest, "%s: must be a string, is a %s", wrongType.Field, wrongType.Value)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return newProblem(http.StatusBadRequest, "the body is not a whole JSON document")
	case errors.Is(err, money.ErrSyntax), errors.Is(err, money.ErrRange):
		return newProblem(http.StatusBadRequest, "%s", strings.TrimPrefix(err.Error(), "money: "))
	}
	return newProblem(http.StatusBadRequest, "%s", strings.TrimPrefix(err.Error(), "json: "))
}

// validID reports whether an account can have an id: 1 to 64 letters, digits, - or _. Such an id fits into a path,
// and account.version is a key of two levels.
func validID(id string) bool {
	for _, c := range []byte(id) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return len(id) >= 1 && len(id) <= maxID
}

func checkID(field, id string) error {
	if validID(id) {
		return nil
	}
	return newProblem(http.StatusBadRequest, "%s: must be 1 to %d letters, digits, - or _", field, maxID)
}

// pathID returns the id of the account in the path. It returns 404 for a text that cannot be an id.
func pathID(r *http.Request) (string, error) {
	id := r.PathValue("id")
	if !validID(id) {
		return "", newProblem(http.StatusNotFound, "there is no such account")
	}
	return id, nil
}

// conditions are the conditions in a write's headers.
type conditions struct {
	key     string              // Idempotency-Key, or ""
	version *eventstore.Version // If-Match, or nil
}

// clientKeys begins the keys of clients. So they differ from the bank's own keys, such as "orders/open".
const clientKeys = "client/"

// never is a version that no account has. It stands for an If-Match that cannot hold.
const never = eventstore.Version(math.MaxUint64)

func readConditions(header http.Header) (c conditions, err error) {
	if c.version, err = readIfMatch(header.Values("If-Match")); err != nil {
		return c, err
	}
	keys := header.Values("Idempotency-Key")
	if len(keys) == 0 {
		return c, nil
	}
	c.key = keys[0]
	unseen := func(r rune) bool { return r <= ' ' || r > '~' }
	if len(keys) > 1 || c.key == "" || len(c.key) > maxKey || strings.ContainsFunc(c.key, unseen) {
		return c, newProblem(http.StatusBadRequest, "Idempotency-Key: send one of 1 to %d visible ASCII characters", maxKey)
	}
	return c, nil
}

// readIfMatch returns the version that an If-Match names. It returns nil for "*", which holds for every open account,
// because each booking demands an open account anyway. A weak tag, or a tag that this bank never sent, matches
// nothing (RFC 9110, 13.1.1).
func readIfMatch(values []string) (*eventstore.Version, error) {
	if len(values) == 0 {
		return nil, nil
	}
	tag := strings.TrimSpace(values[0])
	if len(values) == 1 && tag == "*" {
		return nil, nil
	}
	opaque, weak := strings.CutPrefix(tag, "W/")
	if len(values) > 1 || !isTag(opaque) {
		return nil, newProblem(http.StatusBadRequest, `If-Match: send one entity tag as an ETag gave it, such as "7", or *`)
	}
	text := opaque[1 : len(opaque)-1]
	version := never
	if n, err := strconv.ParseUint(text, 10, 64); err == nil && !weak && strconv.FormatUint(n, 10) == text {
		version = eventstore.Version(n)
	}
	return &version, nil
}

// isTag reports whether s is one opaque-tag of RFC 9110: without blanks, and without quotes inside.
func isTag(s string) bool {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return false
	}
	for _, c := range []byte(s[1 : len(s)-1]) {
		if c <= ' ' || c == '"' || c == 0x7f {
			return false
		}
	}
	return true
}

// options returns the options for the account that the conditions are about. The other account of a transfer takes
// only the key.
func (c conditions) options() []aggregate.Option {
	options := c.keyOnly()
	if c.version != nil {
		options = append(options, aggregate.IfVersion(*c.version))
	}
	return options
}

func (c conditions) keyOnly() []aggregate.Option {
	if c.key == "" {
		return nil
	}
	return []aggregate.Option{aggregate.Key(clientKeys + c.key)}
}

// failed returns the answer for a write that failed under these conditions.
func (c conditions) failed(err error) error {
	if c.version != nil && errors.Is(err, eventstore.ErrConflict) {
		return newProblem(http.StatusPreconditionFailed, "the account is not at the version in If-Match, nothing was booked: read it and decide again")
	}
	return err
}
