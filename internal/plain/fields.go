package plain

import (
	"reflect"
	"slices"
	"strings"
)

// field is a field of a struct that is stored.
type field struct {
	reflect.StructField
	stored string // its name in the stored data
	alias  string // another name under which msgpack reads it
	inline bool   // its own fields stand beside it
	asks   bool   // a pointer, which is also left out if its value says that it is zero
	empty  bool   // it is left out if it is zero
	node   *node
}

// listed is a field as the decoder sees it: the fields of structs that are stored inline stand among the
// others.
type listed struct {
	*field
	path    string
	pointed bool // it stands in an embedded pointer, which may be nil
}

// list returns the fields of a struct in the order in which msgpack stores them. Msgpack does not store an embedded
// struct inline if a name in it was there before, unless the tag demands it.
func (f Format) list(fields []field) (all []listed) {
	names := make(map[string]bool)
	for i := range fields {
		below := []listed{{field: &fields[i], path: "." + fields[i].Name}}
		_, options := f.tagOf(fields[i].StructField)
		demanded := f == JSON || slices.Contains(options, "inline")
		if embedded := fields[i].inlined(); embedded != nil && (demanded || !named(names, embedded.list)) {
			below = nil
			for _, inner := range embedded.list {
				pointed := inner.pointed || fields[i].Type.Kind() == reflect.Pointer
				below = append(below, listed{field: inner.field, path: "." + fields[i].Name + inner.path, pointed: pointed})
			}
		}
		for _, one := range below {
			names[one.stored] = true
		}
		all = append(all, below...)
	}
	return all
}

// named reports whether a field has one of the names.
func named(names map[string]bool, fields []listed) bool {
	return slices.ContainsFunc(fields, func(f listed) bool { return names[f.stored] })
}

// fields looks at the fields of a struct.
func (b *builder) fields(n *node, path string, at place) {
	names := make(map[string]string)
	var forAll []string // options that msgpack applies to each field
	for f := range n.t.Fields() {
		name, options := b.format.tagOf(f)
		if b.format == Msgpack && f.Name == "_msgpack" && slices.Contains(options, "omitempty") {
			forAll = []string{"omitempty"}
		}
		if !b.stores(n, f, path, at) {
			continue
		}
		nameless := f.Anonymous && b.format == JSON && name == ""
		inline := f.Anonymous && (nameless || b.format == Msgpack && !slices.Contains(options, "noinline"))
		if name == "" {
			name = f.Name
		}
		if other, twice := names[name]; twice && !nameless {
			b.refuse("%s.%s and %s.%s are both stored as %q: give each a name of its own", path, other, path, f.Name, name)
		}
		names[name] = f.Name
		below := field{StructField: f, stored: name, alias: aliasOf(options), node: b.node(f.Type, path+"."+f.Name, at), inline: inline}
		options = append(options, forAll...)
		below.empty = slices.Contains(options, "omitempty")
		b.tagged(n, &below, path+"."+f.Name, options)
		n.fields = append(n.fields, below)
	}
	n.list = b.format.list(n.fields)
	b.distinct(n, path)
}

// distinct refuses two fields that are stored under one name, also of embedded structs, because only one of them
// comes back, or none. It also refuses an alias that hides a field before it, and one that msgpack does not read.
func (b *builder) distinct(n *node, path string) {
	paths := make(map[string]string)
	for _, f := range n.list {
		if other, twice := paths[f.stored]; twice {
			b.refuse("%s%s and %s%s are both stored as %q: give each a name of its own", path, other, path, f.path, f.stored)
		}
		if other, hidden := paths[f.alias]; hidden && b.format == Msgpack && f.alias != "" {
			b.refuse("%s%s has the alias %q, under which %s%s is stored: give it another alias", path, f.path, f.alias, path, other)
		}
		if b.format == Msgpack && f.alias != "" && f.path != "."+f.Name {
			b.refuse("%s%s is not read under its alias %q, because its struct is embedded: put the field into %s itself, or upcast",
				path, f.path, f.alias, n.t)
		}
		paths[f.stored] = f.path
	}
}

// stores reports whether a field of a struct is stored. It refuses a field that would be lost without a tag
// that says so.
func (b *builder) stores(n *node, f reflect.StructField, path string, at place) bool {
	name, _ := b.format.tagOf(f)
	embedsPointer := f.Anonymous && f.Type.Kind() == reflect.Pointer
	switch {
	case silent(f):
		return false
	case name == "-":
		n.lossy = true
		if at == mapKey {
			b.refuse("%s.%s is left out, and two keys of the map that differ by it would become one: leave it out of the key's type", path, f.Name)
		}
		return false
	case f.IsExported():
		return true
	case readable(f) && embedsPointer:
		b.refuse("%s.%s is an embedded pointer to a type that is not exported, so nothing can set it when it is read: embed the struct itself", path, f.Name)
		return false
	case readable(f):
		return true
	default:
		b.refuse("%s.%s is not exported, so it would be lost: export it, or leave it out with the tag `%s:\"-\"`", path, f.Name, b.format)
		return false
	}
}

// silent reports whether an unexported field cannot hold anything: nobody can set a blank field, and a type
// without a size has one value.
func silent(f reflect.StructField) bool {
	return !f.IsExported() && (f.Name == "_" || f.Type.Size() == 0)
}

// aliasOf returns the other name under which msgpack reads a field, or "" if there is none.
func aliasOf(options []string) string {
	for _, option := range options {
		if alias, found := strings.CutPrefix(option, "alias:"); found {
			return alias
		}
	}
	return ""
}

// tagOf reads the format's tag of a field: the name under which it is stored, "-" if it is not, and the options.
func (f Format) tagOf(of reflect.StructField) (name string, options []string) {
	tag := of.Tag.Get(string(f))
	name, rest, _ := strings.Cut(tag, ",")
	if f == JSON && tag == "-," {
		return "", nil // encoding/json takes it for a name
	}
	return name, strings.Split(rest, ",")
}

// isZeroer are the types with a method that says whether a value is zero.
var isZeroer = reflect.TypeFor[interface{ IsZero() bool }]()

// tagged refuses options of a tag with which a field would be lost.
func (b *builder) tagged(n *node, f *field, path string, options []string) {
	t := f.Type
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	asked := "omitempty" // the option with which the format asks a type whether a value is zero
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
	asks := f.Type.Implements(isZeroer) || b.format == JSON && reflect.PointerTo(f.Type).Implements(isZeroer)
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

// mayBeMinusZero reports whether a value that is left out as empty may come back as another value.
func mayBeMinusZero(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Float32, reflect.Float64, reflect.Array, reflect.Struct:
		return true
	}
	return false
}
