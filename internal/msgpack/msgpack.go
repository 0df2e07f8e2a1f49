// Package msgpack is the one home of msgpack in this module: nothing else encodes or decodes it.
//
//	append.go  reader.go    the values of our own formats, without reflection
//	msgpack.go              values of any type, through the msgpack library
//	check.go                one walk over bytes, before anything decodes them
//	cursor.go  numbers.go   what else that walk can say
//
// The library allocates as much as a payload claims to hold, before it checks whether the bytes are there (its issue
// 401). Five bytes can claim an array of four thousand million elements. [Check] compares every claim with the
// remaining bytes. After it, a decoder allocates at most in proportion to the payload. A panic of a type that encodes
// or decodes itself is an error.
package msgpack

import (
	"bytes"
	"reflect"

	library "github.com/vmihailenco/msgpack/v5"

	"github.com/runnel-go/runnel/internal/guard"
)

type (
	// CustomEncoder has the method by which a type encodes itself.
	CustomEncoder = library.CustomEncoder
	// CustomDecoder has the method by which a type decodes itself.
	CustomDecoder = library.CustomDecoder
	// Marshaler has the method by which a type returns its encoding.
	Marshaler = library.Marshaler
	// Unmarshaler has the method by which a type takes its encoding.
	Unmarshaler = library.Unmarshaler
)

// Marshal encodes a value: equal values as equal bytes, and integers in their shortest form.
func Marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	e := Encoder{library.GetEncoder()}
	err := e.Encode(&buf, v)
	library.PutEncoder(e.library)
	return buf.Bytes(), err
}

// MarshalArray encodes a struct as the array of its fields.
func MarshalArray(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := library.NewEncoder(&buf)
	enc.UseArrayEncodedStructs(true)
	err := enc.Encode(v)
	return buf.Bytes(), err
}

// Unmarshal checks data before it decodes it into v, because anybody who may write a bucket or a stream may claim
// anything.
func Unmarshal(data []byte, v any) error {
	if err := Check(data); err != nil {
		return err
	}
	return Decode(data, v)
}

// Decode is Unmarshal of data that was checked before.
func Decode(data []byte, v any) (err error) {
	defer guard.Recover(&err)
	return library.Unmarshal(data, v)
}

// Encoder encodes values like [Marshal], one after the other.
type Encoder struct{ library *library.Encoder }

// NewEncoder returns an encoder, which is not safe for concurrent use.
func NewEncoder() *Encoder { return &Encoder{library.NewEncoder(nil)} }

// Encode appends a value to buf.
func (e *Encoder) Encode(buf *bytes.Buffer, v any) (err error) {
	defer guard.Recover(&err)
	e.library.Reset(buf)
	e.library.UseCompactInts(true)
	e.library.SetSortMapKeys(true)
	return e.library.Encode(v)
}

// Decoder decodes values like [Decode], one after the other.
type Decoder struct {
	src     bytes.Reader
	library *library.Decoder
}

// NewDecoder returns a decoder, which is not safe for concurrent use.
func NewDecoder() *Decoder { return &Decoder{library: library.NewDecoder(nil)} }

// Decode decodes data that was checked before.
func (d *Decoder) Decode(data []byte, v reflect.Value) (err error) {
	defer guard.Recover(&err)
	d.src.Reset(data)
	d.library.Reset(&d.src)
	return d.library.DecodeValue(v)
}
