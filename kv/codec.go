package kv

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/runnel-go/runnel/internal/guard"
	"github.com/runnel-go/runnel/internal/msgpack"
	"github.com/runnel-go/runnel/internal/plain"
)

// Codec turns documents into bytes and back. Its methods may be called from several goroutines at once.
type Codec interface {
	// Name returns the name of the format. It is stored with the bucket, so it must not change. It must not be
	// "json" or "msgpack", which are the codecs of this package.
	Name() string
	// Marshal encodes a document.
	Marshal(v any) ([]byte, error)
	// Unmarshal decodes data into v, which points to a zero document. It must not keep data after it returns.
	Unmarshal(data []byte, v any) error
}

var (
	_ Codec = JSON{}
	_ Codec = Msgpack{}
)

// JSON encodes documents with encoding/json, so that any NATS client and the nats command line can read them.
type JSON struct{}

// Name returns "json".
func (JSON) Name() string { return "json" }

// Marshal encodes v as JSON.
func (JSON) Marshal(v any) ([]byte, error) { return json.Marshal(v) }

// Unmarshal decodes JSON into v.
func (JSON) Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }

// Msgpack encodes documents as MessagePack, which is smaller than JSON and decodes faster. The struct tag "msgpack"
// names a field.
type Msgpack struct{}

// Name returns "msgpack".
func (Msgpack) Name() string { return "msgpack" }

// Marshal encodes v as MessagePack.
func (Msgpack) Marshal(v any) ([]byte, error) { return msgpack.Marshal(v) }

// Unmarshal decodes MessagePack into v. It checks the bytes first, because the decoder allocates as much as they
// claim to hold, and every client that may write the bucket may claim anything.
func (Msgpack) Unmarshal(data []byte, v any) error { return msgpack.Unmarshal(data, v) }

// documents turns documents of one type into bytes and back.
type documents struct {
	codec Codec
	shape *plain.Shape // of the type; nil for a codec that is not of this package
}

// documentsOf returns an error that names the field if a codec of this package would lose something of the type. It
// cannot know what a codec of the caller's own keeps. Such a codec must not have the name of one of this package.
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
			return d, fmt.Errorf("codec %T has the name %q of another one: change its Name", codec, name)
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
	defer guard.Recover(&err)
	return d.codec.Marshal(reflect.ValueOf(pointer).Elem().Interface())
}

// unmarshal decodes data into the zero document that a pointer points to.
func (d documents) unmarshal(data []byte, pointer any) (err error) {
	if d.shape != nil {
		return d.shape.Unmarshal(data, pointer)
	}
	defer guard.Recover(&err)
	return d.codec.Unmarshal(data, pointer)
}
