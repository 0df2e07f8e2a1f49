package plain

import (
	"reflect"
	"slices"
	"strings"
)

// field is a field of a struct that is stored.
type field struct {
	reflect.StructField
	stored string // its name where it is stored
	inline bool   // its own fields stand beside it
	asks   bool   // a pointer, which is left out as well if what it points to says that it is zero
	node   *node
}

// fields looks at the fields of a struct.
func (b *builder) fields(n *node, path string, at place) {
	names := make(map[string]string)
	for f := range n.t.Fields() {
		name, options := b.format.tagOf(f)
		switch {
		case f.IsExported() && name == "-":
			n.lossy = true
			if at == mapKey {
				b.refuse("%s.%s is left out, and two keys of the map that differ by it would become one: leave it out of the key's type", path, f.Name)
			}
			continue
		case !f.IsExported():
			b.refuse("%s.%s is not exported, so it would be lost: export it or leave it out", path, f.Name)
			continue
		}
		nameless := f.Anonymous && b.format == JSON && name == ""
		if name == "" {
			name = f.Name
		}
		if other, twice := names[name]; twice && !nameless {
			b.refuse("%s.%s and %s.%s are both stored as %q: give each a name of its own", path, other, path, f.Name, name)
		}
		names[name] = f.Name
		below := field{StructField: f, stored: name, node: b.node(f.Type, path+"."+f.Name, at), inline: f.Anonymous && !slices.Contains(options, "noinline")}
		b.tagged(n, &below, path+"."+f.Name, options)
		n.fields = append(n.fields, below)
	}
}

// tagOf reads the format's tag of a field: the name under which it is stored, "-" if it is not, and the options.
func (f Format) tagOf(of reflect.StructField) (name string, options []string) {
	tag := of.Tag.Get(string(f))
	name, rest, _ := strings.Cut(tag, ",")
	if f == JSON && tag == "-," {
		return "", nil // which encoding/json takes for a name
	}
	return name, strings.Split(rest, ",")
}

// isZeroer are the types that say themselves whether a value is zero.
var isZeroer = reflect.TypeFor[interface{ IsZero() bool }]()

// tagged refuses options of a tag with which a field would be lost.
func (b *builder) tagged(n *node, f *field, path string, options []string) {
	t := f.Type
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	asked := "omitempty" // with which the format asks a type whether a value is zero
	if b.format == JSON {
		asked = "omitzero"
	}
	if slices.Contains(options, "omitempty") || slices.Contains(options, "omitzero") {
		n.lossy = n.lossy || mayBeMinusZero(t)
	}
	if b.format == JSON && slices.Contains(options, "string") && b.format.encodes(t, addressed).by != nil {
		b.refuse("%s: the tag's option string is for plain numbers and text, and %s encodes itself: do without it", path, t)
	}
	if !slices.Contains(options, asked) {
		return
	}
	asks := f.Type.Implements(isZeroer)
	switch {
	case asks && promoted(t, isZeroer):
		embedded, lost := lostTo(t, isZeroer)
		b.refuse("%s is left out, with its %s, if the embedded %s is zero: declare IsZero for %s, or do without the tag's %s", path, lost, embedded, t, asked)
	case b.format == Msgpack && !asks && f.node.opaque && t.Kind() == reflect.Struct:
		b.refuse("%s would be left out: msgpack takes a %s, which encodes itself, for empty: do without the tag's omitempty", path, t)
	}
	n.lossy = n.lossy || asks && f.Type != timeType
	f.asks = asks && f.Type.Kind() == reflect.Pointer
	b.asks = b.asks || f.asks
}

// mayBeMinusZero reports whether a value that is left out as empty may be another than the one which comes back.
func mayBeMinusZero(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Float32, reflect.Float64, reflect.Array, reflect.Struct:
		return true
	}
	return false
}
