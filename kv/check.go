package kv

// Check reports whether the bucket takes a document under a key, and how many bytes the document has when it is
// encoded. It asks no server. It returns an error that matches ErrInvalidKey, ErrEncode or ErrTooLarge if no write
// could store the document.
func (b *Bucket[T]) Check(key string, value T) (size int, err error) {
	const op = "check"
	subject, err := b.core.subject(op, key)
	if err != nil {
		return 0, err
	}
	data, err := b.core.encode(op, key, &value)
	if err != nil {
		return 0, err
	}
	batched := []write{newWrite(key, subject, data, unconditional()), {}}
	return len(data), b.core.checkSizes(op, batched)
}
