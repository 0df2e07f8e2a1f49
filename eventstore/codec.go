package eventstore

import (
	"bytes"
	"reflect"

	"github.com/runnel-go/runnel/internal/defaults"
	"github.com/runnel-go/runnel/internal/msgpack"
	"github.com/runnel-go/runnel/internal/plain"
)

// Codec is how a store encodes the data of its events. It is chosen when the store is created, and recorded in the
// store.
type Codec string

// The codecs.
const (
	// Msgpack is compact and fast. Structs become maps from field name to value; the tag `msgpack:"name"` renames.
	Msgpack Codec = "msgpack"
	// JSON can be read with any tool, at about twice the size.
	JSON Codec = "json"
)

func (c Codec) check() error { return defaults.OneOf("Codec", c, Msgpack, JSON) }

func (c Codec) format() plain.Format { return plain.Format(c) }

// appendTo encodes an event of a type onto buf, with enc if the codec is msgpack. Equal events become equal bytes. It
// refuses a value that the codec cannot hold.
func (c Codec) appendTo(buf *bytes.Buffer, enc *msgpack.Encoder, t *eventType, e Event) (err error) {
	if t.shape.Picky {
		if err := t.shape.Refuse(reflect.ValueOf(e)); err != nil {
			return err
		}
	}
	from := buf.Len()
	if err := c.encode(buf, enc, t, e); err != nil {
		return t.shape.Blame(reflect.ValueOf(e), err)
	}
	return t.shape.Kept(reflect.ValueOf(e), buf.Bytes()[from:])
}

// encode encodes an event.
func (c Codec) encode(buf *bytes.Buffer, enc *msgpack.Encoder, t *eventType, e Event) error {
	value := any(e)
	if t.shape.ByPointer {
		pointer := reflect.New(t.goType)
		pointer.Elem().Set(reflect.ValueOf(e))
		value = pointer.Interface()
	}
	if c == JSON {
		data, err := plain.JSON.Encode(value)
		buf.Write(data)
		return err
	}
	return enc.Encode(buf, value)
}

// decode returns the event as a value of its registered type.
func (c Codec) decode(data []byte, t *eventType) (Event, error) {
	u, ok := t.unpackers.Get().(*unpacker)
	if !ok {
		pointer := reflect.New(t.goType)
		u = &unpacker{dec: msgpack.NewDecoder(), pointer: pointer.Interface(), value: pointer.Elem()}
	}
	if err := c.unpack(data, t, u); err != nil {
		return nil, err // a value that is half decoded is not used again
	}
	event := u.value.Interface().(Event) // a copy; the registry holds Events only
	u.value.SetZero()                    // so that nothing the copy refers to is decoded into
	t.unpackers.Put(u)
	return event, nil
}

// unpacker is what decoding one event needs, kept between events of one type.
type unpacker struct {
	dec     *msgpack.Decoder
	pointer any           // to value
	value   reflect.Value // zero, except while an event is decoded into it
}

// unpack decodes into the unpacker's value.
func (c Codec) unpack(data []byte, t *eventType, u *unpacker) error {
	if c == JSON {
		if err := plain.JSON.Decode(data, u.pointer); err != nil {
			return err
		}
		if err := t.shape.FitsJSON(data); err != nil {
			return err
		}
		t.shape.Settle(u.value)
		return nil
	}
	numbers, err := msgpack.Scan(data)
	if err != nil {
		return err
	}
	if err := t.shape.Fits(data, numbers); err != nil {
		return err
	}
	if err := u.dec.Decode(data, u.value); err != nil {
		return err
	}
	t.shape.Settle(u.value)
	return nil
}
