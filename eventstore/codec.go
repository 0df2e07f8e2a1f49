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

// appendTo encodes an event onto buf, with enc where that is msgpack. The same event always gives the same bytes.
func (c Codec) appendTo(buf *bytes.Buffer, enc *msgpack.Encoder, e Event) error {
	if c == JSON {
		data, err := json.Marshal(e)
		buf.Write(data)
		return err
	}
	enc.Reset(buf)
	enc.UseCompactInts(true)
	enc.SetSortMapKeys(true)
	return enc.Encode(e)
}

// decode gives the event as a value of its registered type.
func (c Codec) decode(data []byte, t *eventType) (Event, error) {
	u, ok := t.unpackers.Get().(*unpacker)
	if !ok {
		pointer := reflect.New(t.goType)
		u = &unpacker{dec: msgpack.NewDecoder(nil), pointer: pointer.Interface(), value: pointer.Elem()}
	}
	if err := c.unpack(data, u); err != nil {
		return nil, err // what is half decoded is not used again
	}
	event := u.value.Interface().(Event) // a copy; the registry holds Events only
	u.value.SetZero()                    // so that nothing the copy refers to is decoded into
	t.unpackers.Put(u)
	return event, nil
}

// unpacker is what decoding one event needs, kept between events of one type.
type unpacker struct {
	src     bytes.Reader
	dec     *msgpack.Decoder
	pointer any           // to value
	value   reflect.Value // zero, but while it is decoded into
}

func (c Codec) unpack(data []byte, u *unpacker) error {
	if c == JSON {
		return json.Unmarshal(data, u.pointer)
	}
	if err := wellformed.Msgpack(data); err != nil {
		return err
	}
	u.src.Reset(data)
	u.dec.Reset(&u.src)
	return u.dec.DecodeValue(u.value)
}
