package plain

import (
	"bytes"
	"encoding/json"

	"github.com/runnel-go/runnel/internal/guard"
	"github.com/runnel-go/runnel/internal/msgpack"
)

// Format is an encoding of plain data. Its name is the key of the struct tag that it reads.
type Format string

// The formats.
const (
	JSON    Format = "json"
	Msgpack Format = "msgpack"
)

// Encode encodes the value behind pointer. Through a pointer, methods of the pointer type are used as well. A panic of
// a type that encodes itself is an error.
func (f Format) Encode(pointer any) (data []byte, err error) {
	if f == Msgpack {
		return msgpack.Marshal(pointer)
	}
	defer guard.Recover(&err)
	return json.Marshal(pointer)
}

// Decode decodes into the value behind pointer, which must be zero. A panic of a type that decodes itself is an error.
func (f Format) Decode(data []byte, pointer any) (err error) {
	defer guard.Recover(&err)
	if f == JSON {
		return json.Unmarshal(data, pointer)
	}
	return msgpack.Unmarshal(data, pointer)
}

// replaced is the text that encoding/json writes for a byte that is not part of any UTF-8 text.
var replaced = []byte(`\ufffd`)

// Suspect reports whether data may lack text of the value that it was encoded from. JSON cannot hold text that
// is not UTF-8, and encoding/json puts an escape into its place. It writes a replacement character of the text
// itself unescaped. Decoding separates the escape from other text that looks like it.
func (f Format) Suspect(data []byte) bool { return f == JSON && bytes.Contains(data, replaced) }
