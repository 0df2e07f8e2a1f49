package plain

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/runnel-go/runnel/internal/wellformed"
)

// Format is an encoding of plain data. Its name is the key of the struct tag that it reads.
type Format string

// The formats.
const (
	JSON    Format = "json"
	Msgpack Format = "msgpack"
)

// marshal encodes the value behind pointer. Through a pointer, methods of the pointer type are used as well.
func (f Format) marshal(pointer any) (data []byte, err error) {
	defer Recover(&err)
	if f == JSON {
		return json.Marshal(pointer)
	}
	var buf bytes.Buffer
	enc := msgpack.GetEncoder()
	enc.Reset(&buf)
	enc.UseCompactInts(true)
	enc.SetSortMapKeys(true)
	err = enc.Encode(pointer)
	msgpack.PutEncoder(enc)
	return buf.Bytes(), err
}

// unmarshal decodes into the value behind pointer, which must be zero.
func (f Format) unmarshal(data []byte, pointer any) (err error) {
	defer Recover(&err)
	if f == JSON {
		return json.Unmarshal(data, pointer)
	}
	return wellformed.Unmarshal(data, pointer)
}

// Guard calls f, and turns a panic of a type that encodes or decodes itself into an error.
func Guard(f func() error) (err error) {
	defer Recover(&err)
	return f()
}

// Recover turns a panic into the error of the function that defers it. It is for functions that call methods of
// types which encode or decode themselves.
func Recover(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("panic: %v", p)
	}
}

// replaced is the text that encoding/json writes for a byte that is not part of any UTF-8 text.
var replaced = []byte(`\ufffd`)

// Suspect reports whether data may lack text of the value that it was encoded from. JSON cannot hold text that
// is not UTF-8, and encoding/json puts an escape into its place. It writes a replacement character of the text
// itself unescaped. Decoding separates the escape from other text that looks like it.
func (f Format) Suspect(data []byte) bool { return f == JSON && bytes.Contains(data, replaced) }
