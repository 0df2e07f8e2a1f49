package wellformed

import "github.com/vmihailenco/msgpack/v5"

// Unmarshal checks data before it decodes it into v. The decoder allocates as much memory as data claims to need, and
// anybody who may write a bucket or a stream may claim anything.
func Unmarshal(data []byte, v any) error {
	if err := Msgpack(data); err != nil {
		return err
	}
	return msgpack.Unmarshal(data, v)
}
