package eventstore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/runnel-go/runnel/internal/wellformed"
)

// Codec is how a store encodes the data of its events. It is chosen when the store is created and recorded with it.
type Codec string

// The codecs.
const (
	// Msgpack is compact and fast. Structs become maps from field name to value; the tag `msgpack:"name"` renames.
	Msgpack Codec = "msgpack"
	// JSON can be read with any tool, at about twice the size.
	JSON Codec = "json"
)

func (c Codec) check() error {
	if c != Msgpack && c != JSON {
		return fmt.Errorf("eventstore: codec %q: there are %q and %q", string(c), Msgpack, JSON)
	}
	return nil
}

// appendTo encodes an event onto buf. The same event always gives the same bytes.
func (c Codec) appendTo(buf *bytes.Buffer, e Event) error {
	if c == JSON {
		data, err := json.Marshal(e)
		buf.Write(data)
		return err
	}
	enc := msgpack.GetEncoder()
	defer msgpack.PutEncoder(enc)
	enc.Reset(buf)
	enc.UseCompactInts(true)
	enc.SetSortMapKeys(true)
	return enc.Encode(e)
}

// decode gives the event as a value of its registered type.
func (c Codec) decode(data []byte, t reflect.Type) (Event, error) {
	value := reflect.New(t)
	var err error
	if c == JSON {
		err = json.Unmarshal(data, value.Interface())
	} else if err = wellformed.Msgpack(data); err == nil {
		err = msgpack.Unmarshal(data, value.Interface())
	}
	if err != nil {
		return nil, err
	}
	return value.Elem().Interface().(Event), nil // the registry holds Events only
}
