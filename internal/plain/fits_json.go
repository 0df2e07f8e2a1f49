package plain

import (
	"bytes"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// FitsJSON refuses a number that does not fit into its float, and a list of another length than its array.
// encoding/json rounds the one, and cuts or fills up the other. It refuses other numbers that do not fit by
// itself. The data must have been decoded into a value of the type.
func (s *Shape) FitsJSON(data []byte) error {
	if !s.narrow {
		return nil
	}
	rest := jsonCursor(data)
	if where, err := fitsJSON(&rest, s.root); err != nil {
		return fmt.Errorf("%s%s: %w", s.root.t, where, err)
	}
	return nil
}

// fitsJSON passes over a value. If a part of it does not fit, it returns the path to that part.
func fitsJSON(rest *jsonCursor, n *node) (where string, err error) {
	n = n.pointedTo()
	switch {
	case n == nil || n.decodesItself():
		rest.Skip()
	case rest.Opens('{'):
		for rest.More() {
			name, below, where := rest.Key(), n.elem, "[]"
			if n.t.Kind() == reflect.Struct {
				below, where = n.stored(name, true)
			}
			if inner, err := fitsJSON(rest, below); err != nil {
				return where + inner, err
			}
		}
	case rest.Opens('['):
		elements := 0
		for ; rest.More(); elements++ {
			if inner, err := fitsJSON(rest, n.elem); err != nil {
				return "[]" + inner, err
			}
		}
		if n.t.Kind() == reflect.Array && elements != n.t.Len() {
			return "", errElements(elements, n.t)
		}
	default:
		return "", n.fitsLiteral(rest.Skip())
	}
	return "", nil
}

// fitsLiteral refuses a number that is rounded.
func (n *node) fitsLiteral(literal []byte) error {
	number := bytes.Trim(literal, `"`) // the tag's option string puts quotes around it
	switch kind := n.t.Kind(); {
	case kind != reflect.Float32 && kind != reflect.Float64, string(number) == "null":
		return nil
	case !written(string(number), n.t.Bits()):
		return errNumber(string(number), n.t)
	}
	return nil
}

// written reports whether a float of some bits may have been written as a text, so that nothing was rounded when
// the text was read. A text with a fraction always stands for the nearest float of 64 bits.
func written(text string, bits int) bool {
	exponent := strings.ContainsAny(text, "eE")
	if digits := bits/4 - 1; !exponent && len(text) < digits {
		return true // so few digits are never rounded
	}
	f, err := strconv.ParseFloat(text, bits)
	if err != nil {
		return false
	}
	if !exponent && !strings.Contains(text, ".") {
		return text == strconv.FormatFloat(f, 'f', -1, bits) || text == strconv.FormatFloat(f, 'f', 0, 64)
	}
	if bits == 64 {
		return true
	}
	wide, err := strconv.ParseFloat(text, 64)
	return err == nil && (wide == f || wide == decimal(f, -1) || wide == decimal(f, 9))
}

// decimal returns the value of a float of 32 bits that is written with so many digits. For -1, these are as few
// digits as it needs.
func decimal(f float64, digits int) float64 {
	wide, err := strconv.ParseFloat(strconv.FormatFloat(f, 'g', digits, 32), 64)
	if err != nil {
		return f // unreachable: a finite number is always read again
	}
	return wide
}
