package plain

import (
	"fmt"
	"reflect"

	"github.com/runnel-go/runnel/internal/msgpack"
)

// Shape is what a format has to know about a type, found out once.
type Shape struct {
	format Format
	root   *node

	// ByPointer says that values are encoded through a pointer, because a type in it encodes itself by methods
	// of its pointer.
	ByPointer bool
	// Picky says that the format cannot hold some values of the type, which [Shape.Refuse] looks for.
	Picky bool
	// Zoned says that the type holds times.
	Zoned bool
	// fits are the classes of numbers that fit into all numbers of the type.
	fits msgpack.Numbers
	// narrow says that data may not fit although all its numbers do: the type holds arrays, or floats that are read
	// from JSON.
	narrow bool
	own    bool // some type in it encodes or decodes itself
	raw    bool // some type in it writes msgpack itself, which nothing else checks
}

// Of returns the shape of a type. It refuses a type of which the format would lose something silently: it tries
// samples, and each must come back as it was. The error names the field.
func (f Format) Of(t reflect.Type) (*Shape, error) {
	s, err := f.shape(t)
	if err != nil {
		return nil, err
	}
	return s, s.probe()
}

// Written returns the shape of a type whose values are only read and not written any more. Losses of the past
// cannot be undone, so Written refuses only types that could not be stored at all.
func (f Format) Written(t reflect.Type) (*Shape, error) {
	s, err := f.shape(t)
	if err != nil {
		err = Check(t)
	}
	return s, err
}

// Keeping says how values of a type may be kept in memory beside their stored form.
type Keeping int

// The ways of keeping a value.
const (
	Itself     Keeping = iota // as it is: it comes back bit by bit, and its copies share no memory
	Decoded                   // decoded once: it may come back otherwise, such as a time in another zone
	DecodedFor                // decoded for each holder: its copies share memory
)

// KeepingOf returns how values of a type may be kept, whatever the format.
func KeepingOf(t reflect.Type) Keeping {
	keeping := Itself
	for _, f := range []Format{JSON, Msgpack} {
		s, err := f.shape(t)
		if err != nil {
			return DecodedFor
		}
		keeping = max(keeping, s.root.keeping(make(map[*node]bool)))
	}
	return keeping
}

// shape looks at a type without trying samples of it. It returns a shape even if it returns an error.
func (f Format) shape(t reflect.Type) (*Shape, error) {
	b := builder{format: f, nodes: make(map[site]*node), open: make(map[*node]bool)}
	s := &Shape{format: f, root: b.node(t, t.String(), addressed)}
	s.ByPointer, s.own, s.raw, s.Zoned = b.byPointer, b.own, b.raw, b.zoned
	s.Picky = f == Msgpack && b.recursive || f == JSON && b.zoned || b.asks || b.userless || b.vanishes
	s.narrow = s.root.any(f.narrows, make(map[*node]bool))
	s.fits = s.root.numbers(make(map[*node]bool))
	return s, b.err
}

// node is a type within a shape.
type node struct {
	t    reflect.Type
	path string // the first path to it from the root
	// opaque types encode and decode themselves. Their valid values are not known.
	opaque bool
	// half are types that do only one of both by themselves. lenient are types that only decode, and may refuse
	// a sample.
	half, lenient bool
	// transparent is a struct that is encoded by the one field which it embeds.
	transparent bool
	time        bool
	// userless is a pointer to the user of a URL, which JSON loses, so it must be nil.
	userless bool
	// vanishes is a pointer to a value that may encode itself as nil, and then the pointer would come back as nil.
	vanishes  bool
	fields    []field
	list      []listed // the fields as the decoder sees them
	key, elem *node
	lossy     bool // some field is left out, or may be
}

// site is a type at a place.
type site struct {
	t  reflect.Type
	at place
}

type builder struct {
	format    Format
	nodes     map[site]*node
	open      map[*node]bool // those under way
	err       error          // the first refusal
	byPointer bool
	recursive bool
	zoned     bool
	own       bool
	raw       bool
	asks      bool
	userless  bool
	vanishes  bool
}

func (b *builder) refuse(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf(format, args...)
	}
}

// node returns the node of a type at a place.
func (b *builder) node(t reflect.Type, path string, at place) *node {
	here := site{t, at}
	if n, ok := b.nodes[here]; ok {
		b.recursive = b.recursive || b.open[n]
		return n
	}
	n := &node{t: t, path: path}
	b.nodes[here] = n
	b.open[n] = true
	defer delete(b.open, n)
	switch {
	case t == timeType && at == mapKey:
		b.refuse("%s is a time, and the same time in two zones is two keys: use a number or text as the key", path)
	case t == timeType:
		n.time, b.zoned = true, true
	case t == userType && b.format == JSON:
		n.userless, b.userless = true, true
	case t == bigFloatType:
		b.refuse("%s is a big.Float, which comes back with 64 bits of precision: use a big.Rat, or text", path)
	case b.itself(n, path, at):
		n.opaque = !n.transparent
	default:
		b.composite(n, path, at)
	}
	return n
}

// itself reports whether a type is encoded and decoded by its own methods, and refuses methods that do not fit
// together.
func (b *builder) itself(n *node, path string, at place) bool {
	t := n.t
	encodes, decodes := b.format.encodes(t, at), b.format.decodes(t, at)
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface || encodes.by == nil && decodes.by == nil {
		return false
	}
	b.own = true
	b.raw = b.raw || b.format == Msgpack && encodes.way == byItself
	switch {
	case promoted(t, encodes.by, decodes.by):
		embedded, lost := lostTo(t, encodes.by, decodes.by)
		b.refuse("%s.%s would be lost: %s is encoded or decoded by a method of the embedded %s, which knows nothing of it: "+
			"give %s a name in %s, or declare the methods for %s", path, lost, t, embedded, embedded, t, t)
	case encodes.byPointer && at != addressed:
		b.refuse("%s: %s encodes itself by a method of its pointer, which cannot be called in a map: "+
			"declare the method for %s, or put *%s into the map", path, t, t, t)
	case encodes.by == nil && decodes.way != byItself && t.Kind() != reflect.String && (b.format != JSON || at != mapKey):
		b.refuse("%s: %s is decoded by a method that takes text or bytes, but not encoded as such: declare the method that encodes it, too", path, t)
	case encodes.by == nil || decodes.by == nil:
		n.half, n.lenient = true, encodes.by == nil
		return false
	case b.format == Msgpack && (encodes.way != decodes.way || b.format.encodes(reflect.PointerTo(t), at).way != encodes.way):
		b.refuse("%s: %s encodes itself in one way and is decoded in another: give it both methods of a pair, with the same kind of receiver", path, t)
	case t.Kind() == reflect.Struct && t.NumField() == 1 && t.Field(0).Anonymous && t.Field(0).IsExported() &&
		!declares(t, encodes.by) && !declares(reflect.PointerTo(t), encodes.by):
		n.transparent = true
		n.fields = []field{{StructField: t.Field(0), node: b.node(t.Field(0).Type, path, at)}}
	}
	b.byPointer = b.byPointer || encodes.byPointer
	return true
}

// composite looks at the parts of a type that is encoded by its kind.
func (b *builder) composite(n *node, path string, at place) {
	switch t := n.t; t.Kind() {
	case reflect.Struct:
		b.fields(n, path, at)
	case reflect.Float32, reflect.Float64:
		if at == mapKey {
			b.refuse("%s is a %s, and what is not a number is not found again: use an integer or text as the key", path, t.Kind())
		}
	case reflect.Func, reflect.Chan, reflect.UnsafePointer, reflect.Interface, reflect.Complex64, reflect.Complex128, reflect.Uintptr:
		b.refuse("%s is a %s, which cannot be stored: use plain data", path, t.Kind())
	case reflect.Pointer:
		if at == mapKey {
			b.refuse("%s is a pointer, and comes back as another: use a value as the key", path)
			return
		}
		switch kind := t.Elem().Kind(); kind {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			if kind == reflect.Pointer || b.format.encodes(t.Elem(), addressed).by == nil {
				b.refuse("%s points to a %s, and comes back as nil if that is nil: use the %s itself", path, kind, kind)
			}
		}
		n.elem = b.node(t.Elem(), path+"[]", addressed)
		use := b.format.encodes(t.Elem(), addressed)
		textInJSON := b.format == JSON && use.way == byText // is never nil
		n.vanishes = use.by != nil && !n.elem.time && !textInJSON
		b.vanishes = b.vanishes || n.vanishes
	case reflect.Slice:
		n.elem = b.node(t.Elem(), path+"[]", addressed)
	case reflect.Array:
		n.elem = b.node(t.Elem(), path+"[]", at)
	case reflect.Map:
		n.key = b.node(t.Key(), path+" key", mapKey)
		n.elem = b.node(t.Elem(), path+"[]", mapValue)
	}
}

// keeping says how values may be kept.
func (n *node) keeping(seen map[*node]bool) Keeping {
	if seen[n] {
		return Itself
	}
	seen[n] = true
	keeping := Itself
	switch kind := n.t.Kind(); {
	case n.time:
		return Decoded
	case n.opaque || kind == reflect.Pointer || kind == reflect.Slice || kind == reflect.Map:
		return DecodedFor
	case n.lossy || n.half || n.transparent:
		keeping = Decoded
	}
	for _, f := range n.fields {
		keeping = max(keeping, f.node.keeping(seen))
	}
	if n.elem != nil {
		keeping = max(keeping, n.elem.keeping(seen))
	}
	return keeping
}

// parts yields the nodes directly below.
func (n *node) parts(yield func(*node) bool) {
	for _, f := range n.fields {
		if !yield(f.node) {
			return
		}
	}
	for _, below := range []*node{n.key, n.elem} {
		if below != nil && !yield(below) {
			return
		}
	}
}

// any reports whether something holds for a node, or for one below it.
func (n *node) any(holds func(*node) bool, seen map[*node]bool) bool {
	if seen[n] {
		return false
	}
	seen[n] = true
	if holds(n) {
		return true
	}
	for below := range n.parts {
		if below.any(holds, seen) {
			return true
		}
	}
	return false
}
