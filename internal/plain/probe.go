package plain

import (
	"fmt"
	"reflect"
	"strconv"
	"time"
)

// style says how a sample is filled.
type style struct {
	numbers  numbers
	lists    int  // number of elements of slices and maps; -1 for nil
	pointers bool // whether they point to something
}

// numbers says which numbers, and texts, a sample has.
type numbers int

const (
	zeros numbers = iota
	small         // all different, and fit into any type
	large         // all different, and need the whole of theirs
)

// probe tries samples of a type, and of each struct in it, because samples end at some depth. Each must come
// back as it was.
func (s *Shape) probe() (err error) {
	s.root.any(func(n *node) bool {
		if n == s.root || len(n.fields) > 0 && !n.opaque {
			err = s.probeNode(n, n.path)
		}
		return err != nil
	}, make(map[*node]bool))
	return err
}

func (s *Shape) probeNode(n *node, path string) error {
	lists, pointers := []int{-1, 0, 2}, []bool{false, true}
	if !n.any(func(n *node) bool { return n.t.Kind() == reflect.Slice || n.t.Kind() == reflect.Map }, make(map[*node]bool)) {
		lists = lists[:1]
	}
	if !n.any(func(n *node) bool { return n.t.Kind() == reflect.Pointer }, make(map[*node]bool)) {
		pointers = pointers[:1]
	}
	for _, numbers := range []numbers{zeros, small, large} {
		for _, n2 := range lists {
			for _, p := range pointers {
				if err := s.try(n, path, style{numbers: numbers, lists: n2, pointers: p}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// try encodes and decodes one sample.
func (s *Shape) try(n *node, path string, as style) error {
	sample, back, err := s.sample(n, as)
	if err != nil {
		return s.failed(n, path, as, err, make(map[*node]bool))
	}
	if d := s.different(sample, back, n); d != nil {
		return fmt.Errorf("%s%s %s when %s has stored it: give it a name and a type that the format keeps, or leave it out with the tag `%s:\"-\"`",
			path, d.where, d.how, s.format, s.format)
	}
	return nil
}

// sample returns a sample, and its decoded form.
func (s *Shape) sample(n *node, as style) (sample, back reflect.Value, err error) {
	sample, back = reflect.New(n.t), reflect.New(n.t)
	(&filler{style: as, budget: 300}).fill(sample.Elem(), n, 5)
	data, err := s.format.Encode(sample.Interface())
	if err == nil {
		err = s.format.Decode(data, back.Interface())
	}
	return sample.Elem(), back.Elem(), err
}

// failed returns the error of a sample that failed, and names the part of the type that is to blame. It returns
// nil if a type that decodes itself fails alone, because the valid values of that type are not known.
func (s *Shape) failed(n *node, path string, as style, err error, seen map[*node]bool) error {
	fails := func(n *node) error {
		_, _, err := s.sample(n, as)
		return err
	}
	seen[n] = true
	for _, f := range n.fields {
		if seen[f.node] {
			continue
		}
		if err := fails(f.node); err != nil {
			return s.failed(f.node, path+"."+f.Name, as, err, seen)
		}
		if len(n.fields) == 1 || f.IsExported() && fails(f.alone()) != nil {
			return s.refusal(path+"."+f.Name, err)
		}
	}
	if n.elem != nil && !seen[n.elem] {
		if err := fails(n.elem); err != nil {
			return s.failed(n.elem, path+"[]", as, err, seen)
		}
	}
	if n.any(func(n *node) bool { return n.lenient || n.opaque && fails(n) != nil }, make(map[*node]bool)) {
		return nil
	}
	return s.refusal(path, err)
}

func (s *Shape) refusal(path string, err error) error {
	return fmt.Errorf("%s cannot be stored as %s and read again: %w: give it a type that the format keeps, or leave it out with the tag `%s:\"-\"`",
		path, s.format, err, s.format)
}

// alone is a struct with a field, and its tag, alone.
func (f *field) alone() *node {
	t := reflect.StructOf([]reflect.StructField{{Name: f.Name, Type: f.Type, Tag: f.Tag}})
	below := *f
	below.StructField = t.Field(0)
	return &node{t: t, fields: []field{below}}
}

// filler fills samples.
type filler struct {
	style
	n      int
	budget int // number of values to fill; the rest of a large type stays zero
}

func (f *filler) fill(v reflect.Value, n *node, depth int) {
	if n.opaque || n.userless || depth < 0 || f.budget == 0 {
		return
	}
	f.budget--
	f.n = f.n%100 + 1 // fits every number type
	if n.time {
		if f.numbers != zeros {
			v.Set(reflect.ValueOf(time.Unix(int64(f.n), int64(f.n)).In(time.FixedZone("", 60*f.n))))
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, below := range n.fields {
			if !below.asks || f.numbers != zeros {
				f.fill(v.FieldByIndex(below.Index), below.node, depth-1)
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			f.fill(v.Index(i), n.elem, depth-1)
		}
	case reflect.Pointer:
		if f.pointers && !n.elem.opaque {
			v.Set(reflect.New(n.elem.t))
			f.fill(v.Elem(), n.elem, depth-1)
		}
	case reflect.Slice:
		if f.lists >= 0 {
			v.Set(reflect.MakeSlice(n.t, f.lists, f.lists))
		}
		for i := range v.Len() - 1 { // the last one stays zero
			f.fill(v.Index(i), n.elem, depth-1)
		}
	case reflect.Map:
		f.fillMap(v, n, depth)
	default:
		f.fillBasic(v)
	}
}

func (f *filler) fillMap(v reflect.Value, n *node, depth int) {
	if f.lists < 0 {
		return
	}
	v.Set(reflect.MakeMap(n.t))
	for i := range f.lists {
		key, value := reflect.New(n.key.t).Elem(), reflect.New(n.elem.t).Elem()
		f.fill(key, n.key, depth-1)
		if v.MapIndex(key).IsValid() {
			return // no second key of this type is known
		}
		if i == 0 {
			f.fill(value, n.elem, depth-1)
		}
		v.SetMapIndex(key, value)
	}
}

// fillBasic fills a number or a text.
func (f *filler) fillBasic(v reflect.Value) {
	if f.numbers == zeros {
		return
	}
	far := f.numbers == large
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(f.n))
		if far {
			v.SetInt(-1<<(v.Type().Bits()-1) + int64(f.n))
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(f.n))
		if far {
			v.SetUint(1<<v.Type().Bits() - uint64(f.n))
		}
	case reflect.Float32, reflect.Float64:
		v.SetFloat(float64(f.n))
		if far {
			v.SetFloat(float64(float32(1) / float32(f.n+1)))
		}
	case reflect.String:
		v.SetString("text" + strconv.Itoa(f.n))
	}
}
