package eventstore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"sync"

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
	pointer := t.zeros.Get()
	if pointer == nil {
		pointer = reflect.New(t.goType).Interface()
	}
	if err := c.unmarshal(data, pointer); err != nil {
		return nil, err // what is half decoded is not used again
	}
	value := reflect.ValueOf(pointer).Elem()
	event := value.Interface().(Event) // a copy; the registry holds Events only
	value.SetZero()                    // so that nothing the copy refers to is decoded into
	t.zeros.Put(pointer)
	return event, nil
}

func (c Codec) unmarshal(data []byte, pointer any) error {
	if c == JSON {
		return json.Unmarshal(data, pointer)
	}
	if err := wellformed.Msgpack(data); err != nil {
		return err
	}
	u := unpackers.Get().(*unpacker)
	defer unpackers.Put(u)
	u.src.Reset(data)
	u.dec.Reset(&u.src)
	return u.dec.Decode(pointer)
}

// unpacker is what decoding one event needs, kept between events.
type unpacker struct {
	src bytes.Reader
	dec *msgpack.Decoder
}

var unpackers = sync.Pool{New: func() any { return &unpacker{dec: msgpack.NewDecoder(nil)} }}
