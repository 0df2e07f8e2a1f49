package kv

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/runnel-go/runnel/internal/plain"
	"github.com/runnel-go/runnel/internal/wellformed"
)

// Codec turns documents into bytes and back. Its methods may be called from several goroutines at once.
type Codec interface {
	// Name identifies the format. It is kept with the bucket, so it must not change, and is not "json" or "msgpack", which are the
	// codecs of this package.
	Name() string
	// Marshal encodes a document.
	Marshal(v any) ([]byte, error)
	// Unmarshal decodes data into v, which points to a zero document. It must not keep data.
	Unmarshal(data []byte, v any) error
}

var (
	_ Codec = JSON{}
	_ Codec = Msgpack{}
)

// JSON is encoding/json: any NATS client and the nats command line read such documents.
type JSON struct{}

// Name is "json".
func (JSON) Name() string { return "json" }

// Marshal encodes v as JSON.
func (JSON) Marshal(v any) ([]byte, error) { return json.Marshal(v) }

// Unmarshal decodes JSON into v.
func (JSON) Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }

// Msgpack is MessagePack: smaller documents that decode faster. Fields are named by the struct tag "msgpack".
type Msgpack struct{}

// Name is "msgpack".
func (Msgpack) Name() string { return "msgpack" }

// Marshal encodes v as MessagePack.
func (Msgpack) Marshal(v any) ([]byte, error) { return msgpack.Marshal(v) }

// Unmarshal decodes MessagePack into v. The bytes are checked before, since the decoder allocates what a payload
// claims to hold, and anybody who may write the bucket may claim anything.
func (Msgpack) Unmarshal(data []byte, v any) error {
	if err := wellformed.Msgpack(data); err != nil {
		return err
	}
	return msgpack.Unmarshal(data, v)
}

// documents turns documents of one type into bytes and back.
type documents struct {
	codec Codec
	shape *plain.Shape // of the type; nil for a codec that is not of this package, and knows itself what it keeps
}

// documentsOf refuses a type of which a codec of this package would lose something, and names the field. Nothing is known of what a
// codec of the caller's own keeps, so it must not have the name of one of this package.
func documentsOf[T any](codec Codec) (documents, error) {
	d := documents{codec: codec}
	var format plain.Format
	switch codec.(type) {
	case JSON:
		format = plain.JSON
	case Msgpack:
		format = plain.Msgpack
	default:
		if name := codec.Name(); name == (JSON{}).Name() || name == (Msgpack{}).Name() {
			return d, fmt.Errorf("codec %T has the name %q of another one: give it a name of its own", codec, name)
		}
		return d, nil
	}
	var err error
	d.shape, err = format.Of(reflect.TypeFor[T]())
	return d, err
}

// marshal encodes the document that a pointer points to.
func (d documents) marshal(pointer any) (data []byte, err error) {
	if d.shape != nil {
		return d.shape.Marshal(pointer)
	}
	err = plain.Guard(func() error {
		data, err = d.codec.Marshal(reflect.ValueOf(pointer).Elem().Interface())
		return err
	})
	return data, err
}

// unmarshal decodes into the zero document that a pointer points to.
func (d documents) unmarshal(data []byte, pointer any) error {
	if d.shape != nil {
		return d.shape.Unmarshal(data, pointer)
	}
	return plain.Guard(func() error { return d.codec.Unmarshal(data, pointer) })
}
