package msgpack

import "fmt"

// Reader reads one msgpack value after the other, from bytes that were found well formed. It keeps the first error,
// after which all values are nil. It copies nothing: the bytes that it returns stand in the bytes that it reads.
type Reader struct {
	Rest []byte // what is not read yet
	Err  error
}

// Fail sets the error, unless there is one, and ends the reading.
func (r *Reader) Fail(err error) {
	if r.Err == nil {
		r.Err = err
	}
	r.Rest = nil
}

// take returns the next n bytes, or nil if there are fewer.
func (r *Reader) take(n int) []byte {
	if n < 0 || n > len(r.Rest) {
		r.Fail(fmt.Errorf("%w: ends early", ErrMalformed))
		return nil
	}
	taken := r.Rest[:n:n]
	r.Rest = r.Rest[n:]
	return taken
}

// code returns the byte that a value begins with.
func (r *Reader) code() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return Nil
}

// number returns a number of 1, 2, 4 or 8 bytes.
func (r *Reader) number(width int) (n uint64) {
	for _, b := range r.take(width) {
		n = n<<8 | uint64(b)
	}
	return n
}

// other sets the error for a value of another kind than the one that was wanted.
func (r *Reader) other(code byte, want string) {
	r.Fail(fmt.Errorf("%s should stand where a value begins with %#x", want, code))
}

// Present skips a nil and reports false, or leaves the value to be read and reports true.
func (r *Reader) Present() bool {
	if len(r.Rest) > 0 && r.Rest[0] != Nil {
		return true
	}
	r.code()
	return false
}

// Array returns the length of an array whose elements follow, or 0 for nil.
func (r *Reader) Array() int {
	switch c := r.code(); {
	case c&0xf0 == 0x90:
		return int(c & 0x0f)
	case c == 0xdc, c == 0xdd:
		return int(r.number(2 << (c - 0xdc)))
	case c != Nil:
		r.other(c, "an array")
	}
	return 0
}

// Map returns the number of pairs of a map that follow, or 0 for nil.
func (r *Reader) Map() int {
	switch c := r.code(); {
	case c&0xf0 == 0x80:
		return int(c & 0x0f)
	case c == 0xde, c == 0xdf:
		return int(r.number(2 << (c - 0xde)))
	case c != Nil:
		r.other(c, "a map")
	}
	return 0
}

// Uint returns a number that other writers may have written as a signed one.
func (r *Reader) Uint() uint64 { return uint64(r.Int()) }

// Int returns a number.
func (r *Reader) Int() int64 {
	switch c := r.code(); {
	case c <= 0x7f, c >= 0xe0:
		return int64(int8(c))
	case 0xcc <= c && c <= 0xcf:
		return int64(r.number(1 << (c - 0xcc)))
	case 0xd0 <= c && c <= 0xd3:
		width := 1 << (c - 0xd0)
		unused := 64 - 8*width
		return int64(r.number(width)<<unused) >> unused
	case c != Nil:
		r.other(c, "a number")
	}
	return 0
}

// Bool returns true or false.
func (r *Reader) Bool() bool {
	c := r.code()
	if c != 0xc2 && c != 0xc3 && r.Err == nil {
		r.other(c, "true or false")
	}
	return c == 0xc3
}

// Bytes returns the bytes of a string or byte string where they stand, and nil for nil.
func (r *Reader) Bytes() []byte {
	switch c := r.code(); {
	case c&0xe0 == 0xa0:
		return r.take(int(c & 0x1f))
	case 0xc4 <= c && c <= 0xc6:
		return r.take(int(r.number(1 << (c - 0xc4))))
	case 0xd9 <= c && c <= 0xdb:
		return r.take(int(r.number(1 << (c - 0xd9))))
	case c != Nil:
		r.other(c, "text or bytes")
	}
	return nil
}

// Text returns a copy of what Bytes returns.
func (r *Reader) Text() string { return string(r.Bytes()) }

// Texts returns a map of texts, or nil for none.
func (r *Reader) Texts() map[string]string {
	if !r.Present() {
		return nil
	}
	n := r.Map()
	if r.Err != nil {
		return nil
	}
	texts := make(map[string]string, n)
	for range n {
		key := r.Text()
		texts[key] = r.Text()
	}
	return texts
}

// List returns an array of texts, or nil for none.
func (r *Reader) List() []string {
	n := r.Array()
	if r.Err != nil || n <= 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = r.Text()
	}
	return list
}
