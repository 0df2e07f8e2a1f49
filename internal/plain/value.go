package plain

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"time"
	"unicode/utf8"

	"github.com/runnel-go/runnel/internal/msgpack"
)

// Marshal encodes the value behind a pointer. It refuses a value that the format cannot hold, and names the
// field.
func (s *Shape) Marshal(pointer any) ([]byte, error) {
	v := reflect.ValueOf(pointer).Elem()
	if err := s.Refuse(v); err != nil {
		return nil, err
	}
	data, err := s.format.Encode(pointer)
	if err != nil {
		return nil, s.Blame(v, err)
	}
	return data, s.Kept(v, data)
}

// Unmarshal decodes into the value behind a pointer, which must be zero. A number or a list that does not fit
// is an error, and so is a panic of a type that decodes itself. Times are in UTC.
func (s *Shape) Unmarshal(data []byte, pointer any) error {
	if err := s.decode(data, pointer); err != nil {
		return err
	}
	s.Settle(reflect.ValueOf(pointer).Elem())
	return nil
}

func (s *Shape) decode(data []byte, pointer any) error {
	if s.format == JSON {
		if err := s.format.Decode(data, pointer); err != nil {
			return err
		}
		return s.FitsJSON(data)
	}
	numbers, err := msgpack.Scan(data)
	if err != nil {
		return err
	}
	if err := s.Fits(data, numbers); err != nil {
		return err
	}
	return msgpack.Decode(data, pointer)
}

// Refuse refuses a value that the format cannot hold, before it is encoded. It looks only if the shape is picky.
func (s *Shape) Refuse(v reflect.Value) error {
	if !s.Picky {
		return nil
	}
	if where, err := s.refuse(v, s.root, msgpack.MaxDepth); err != nil {
		return fmt.Errorf("%s%s %w", s.root.t, where, err)
	}
	return nil
}

var (
	// errSeconds is for a time that JSON changes.
	errSeconds = errors.New("is a time in a zone that is some seconds off a full minute, which JSON cannot hold: use UTC")
	// errYear is for a time that JSON has no text for.
	errYear = errors.New("is a time outside of the years 0 to 9999 in UTC, which JSON cannot hold: use a number, or msgpack")
	// errUser is for a URL of which JSON would lose a part.
	errUser = errors.New("is the user of a URL, which JSON loses: store the URL as text, or without the user")
	// errNil is for a pointer to a value that encodes itself as if there were none.
	errNil = errors.New("points to a value that encodes itself as nil, so it would come back as nil: use nil, or no pointer")
	// errZero is for a pointer that its tag leaves out.
	errZero = errors.New("points to a zero value, which its tag leaves out, so it would come back as nil: use nil, or another tag")
)

func (s *Shape) refuse(v reflect.Value, n *node, depth int) (where string, err error) {
	switch {
	case n.time:
		if s.format == JSON {
			return "", jsonHolds(timeIn(v))
		}
		return "", nil
	case n.userless && !v.IsNil():
		return "", errUser
	case n.opaque, n.userless:
		return "", nil
	case depth < 0 && s.format == Msgpack:
		return "", errNested
	}
	switch v.Kind() {
	case reflect.Struct:
		return s.refuseField(v, n, depth)
	case reflect.Pointer:
		switch {
		case v.IsNil():
			return "", nil
		case n.vanishes && s.format.absent(v):
			return "", errNil
		}
		return s.refuse(v.Elem(), n.elem, depth)
	case reflect.Slice, reflect.Array:
		if basic(n.elem) {
			return "", nil
		}
		for i := range v.Len() {
			if where, err := s.refuse(v.Index(i), n.elem, depth-1); err != nil {
				return "[]" + where, err
			}
		}
	case reflect.Map:
		for each := v.MapRange(); each.Next(); {
			if where, err := s.refuse(each.Value(), n.elem, depth-1); err != nil {
				return "[]" + where, err
			}
		}
	}
	return "", nil
}

// timeIn returns a time. It allocates nothing if the value has an address.
func timeIn(v reflect.Value) time.Time {
	if v.CanAddr() {
		return *v.Addr().Interface().(*time.Time)
	}
	return v.Interface().(time.Time)
}

// refuseField is refuse for the fields of a struct.
func (s *Shape) refuseField(v reflect.Value, n *node, depth int) (where string, err error) {
	for i := range n.fields {
		f := &n.fields[i]
		if basic(f.node) {
			continue
		}
		part := v.FieldByIndex(f.Index)
		if f.asks && !part.IsNil() && part.Interface().(interface{ IsZero() bool }).IsZero() {
			return "." + f.Name, errZero
		}
		if where, err := s.refuse(part, f.node, depth-1); err != nil {
			return "." + f.Name + where, err
		}
	}
	return "", nil
}

// jsonHolds refuses a time that does not come back from JSON, or that comes back as a time that JSON cannot
// hold.
func jsonHolds(t time.Time) error {
	if _, offset := t.Zone(); offset%60 != 0 {
		return errSeconds
	}
	if year := t.UTC().Year(); year < 0 || year > 9999 {
		return errYear
	}
	return nil
}

// absent reports whether the value that a pointer leads to encodes itself as nil.
func (f Format) absent(pointer reflect.Value) bool {
	data, err := f.Encode(pointer.Interface())
	return err == nil && (f == JSON && string(data) == "null" || f == Msgpack && len(data) == 1 && data[0] == msgpack.Nil)
}

// basic reports whether a type has no parts to look at.
func basic(n *node) bool { return !n.time && !n.userless && len(n.fields) == 0 && n.elem == nil }

// Kept refuses a value if its encoding, data, has lost text or cannot be read.
func (s *Shape) Kept(v reflect.Value, data []byte) error {
	if s.raw {
		if err := msgpack.Check(data); err != nil {
			return fmt.Errorf("%s: a type in it that encodes itself must write one value: %w", s.root.t, err)
		}
	}
	if !s.format.Suspect(data) && (s.format != JSON || !s.own || utf8.Valid(data)) {
		return nil
	}
	back := reflect.New(s.root.t)
	if err := s.format.Decode(data, back.Interface()); err != nil {
		return err
	}
	if d := s.different(v, back.Elem(), s.root); d != nil {
		return fmt.Errorf("%s%s holds text that is not UTF-8, which JSON cannot hold: convert it, keep it as bytes, or use msgpack", s.root.t, d.where)
	}
	return nil
}

// Blame says which part of a value an encoder's error is about.
func (s *Shape) Blame(v reflect.Value, err error) error {
	return fmt.Errorf("%s%s: %w", s.root.t, s.blame(v, s.root, msgpack.MaxDepth), err)
}

// blame returns the path to the innermost part that does not encode.
func (s *Shape) blame(v reflect.Value, n *node, depth int) string {
	fails := func(part reflect.Value) bool {
		pointer := reflect.New(part.Type())
		pointer.Elem().Set(part)
		_, err := s.format.Encode(pointer.Interface())
		return err != nil
	}
	if n.opaque || n.userless || n.time || depth < 0 {
		return ""
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, f := range n.fields {
			part := v.FieldByIndex(f.Index)
			if !f.IsExported() { // an embedded struct, which cannot be encoded alone
				if where := s.blame(part, f.node, depth-1); where != "" {
					return "." + f.Name + where
				}
				continue
			}
			if fails(part) {
				return "." + f.Name + s.blame(part, f.node, depth-1)
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			return s.blame(v.Elem(), n.elem, depth-1)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if part := v.Index(i); fails(part) {
				return "[]" + s.blame(part, n.elem, depth-1)
			}
		}
	case reflect.Map:
		for _, part := range v.Seq2() {
			if fails(part) {
				return "[]" + s.blame(part, n.elem, depth-1)
			}
		}
	}
	return ""
}

// Settle puts the times of a decoded value into UTC, because a decoder leaves them in a zone that depends on
// the machine.
func (s *Shape) Settle(v reflect.Value) {
	if s.Zoned {
		settle(v, s.root)
	}
}

func settle(v reflect.Value, n *node) {
	switch {
	case n.time:
		t := v.Addr().Interface().(*time.Time)
		*t = t.UTC()
	case n.fields != nil:
		for i := range n.fields {
			settle(v.FieldByIndex(n.fields[i].Index), n.fields[i].node)
		}
	case n.elem == nil || basic(n.elem):
	case v.Kind() == reflect.Pointer:
		if !v.IsNil() {
			settle(v.Elem(), n.elem)
		}
	case v.Kind() == reflect.Map:
		for key, value := range v.Seq2() {
			changed := reflect.New(n.elem.t).Elem()
			changed.Set(value)
			settle(changed, n.elem)
			v.SetMapIndex(key, changed)
		}
	default:
		for i := range v.Len() {
			settle(v.Index(i), n.elem)
		}
	}
}

// Elsewhere returns the path to a time that is not in UTC, or "" if there is none.
func (s *Shape) Elsewhere(v reflect.Value) string {
	if where, found := elsewhere(v, s.root); s.Zoned && found {
		return s.root.t.String() + where
	}
	return ""
}

func elsewhere(v reflect.Value, n *node) (where string, found bool) {
	switch {
	case n.time:
		return "", v.Interface().(time.Time).Location() != time.UTC
	case n.fields != nil:
		for _, f := range n.fields {
			if where, found := elsewhere(v.FieldByIndex(f.Index), f.node); found {
				return "." + f.Name + where, true
			}
		}
	case n.elem == nil || basic(n.elem):
	case v.Kind() == reflect.Pointer:
		if !v.IsNil() {
			return elsewhere(v.Elem(), n.elem)
		}
	default:
		for _, part := range v.Seq2() {
			if where, found := elsewhere(part, n.elem); found {
				return "[]" + where, true
			}
		}
	}
	return "", false
}

// difference says how two values differ, and at which path.
type difference struct{ where, how string }

// different finds a difference of two values, except in fields that are deliberately not stored. Times are the
// same if they are the same instant. An empty slice or map is the same as nil, because a tag can turn it into
// nil.
func (s *Shape) different(a, b reflect.Value, n *node) *difference {
	switch {
	case n.time:
		return unless(a.Interface().(time.Time).Equal(b.Interface().(time.Time)))
	case n.opaque:
		return unless(s.sameOpaque(a, b))
	case n.userless:
		return unless(a.IsNil() == b.IsNil())
	}
	switch a.Kind() {
	case reflect.Struct:
		for _, f := range n.fields {
			if d := s.different(a.FieldByIndex(f.Index), b.FieldByIndex(f.Index), f.node); d != nil {
				return d.below("." + f.Name)
			}
		}
		return nil
	case reflect.Float32, reflect.Float64:
		return unless(a.Float() == b.Float() || math.IsNaN(a.Float()) && math.IsNaN(b.Float()))
	case reflect.Pointer:
		switch {
		case a.IsNil() && !b.IsNil():
			return &difference{how: "comes back as not nil"}
		case b.IsNil() && !a.IsNil():
			return &difference{how: "comes back as nil"}
		case a.IsNil():
			return nil
		}
		return s.different(a.Elem(), b.Elem(), n.elem)
	case reflect.Slice, reflect.Array:
		if a.Len() != b.Len() {
			return &difference{how: "comes back with another number of elements"}
		}
		for i := range a.Len() {
			if d := s.different(a.Index(i), b.Index(i), n.elem); d != nil {
				return d.below("[]")
			}
		}
		return nil
	case reflect.Map:
		return s.differentEntries(a, b, n)
	}
	return unless(a.Equal(b))
}

func (s *Shape) differentEntries(a, b reflect.Value, n *node) *difference {
	if a.Len() != b.Len() {
		return &difference{how: "comes back with another number of entries"}
	}
	for key, value := range a.Seq2() {
		other := b.MapIndex(key)
		if !other.IsValid() {
			return &difference{where: " key", how: "comes back as another"}
		}
		if d := s.different(value, other, n.elem); d != nil {
			return d.below("[]")
		}
	}
	return nil
}

func unless(same bool) *difference {
	if same {
		return nil
	}
	return &difference{how: "comes back as another value"}
}

func (d *difference) below(where string) *difference {
	return &difference{where: where + d.where, how: d.how}
}

// sameOpaque compares two values of a type that encodes itself by their own encodings.
func (s *Shape) sameOpaque(a, b reflect.Value) bool {
	if reflect.DeepEqual(a.Interface(), b.Interface()) {
		return true
	}
	said := func(v reflect.Value) ([]byte, error) {
		pointer := reflect.New(v.Type())
		pointer.Elem().Set(v)
		return s.format.Encode(pointer.Interface())
	}
	one, errOne := said(a)
	other, errOther := said(b)
	return errOne == nil && errOther == nil && string(one) == string(other)
}
