package eventstore

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// maxBody is the largest size to which a compressed body may expand, so it also bounds what one payload can make a
// reader allocate. The server's file store takes no record above 32 MiB, so an uncompressed body stays far below it.
const maxBody = 64 << 20

// maxRatio is the most that zstd can reach: a block of 128 KiB in 4 bytes. A payload that claims more is not
// decompressed, so a short payload cannot claim much.
const maxRatio = 128 << 10 / 4

// sizeBytes is the most that the size of the body adds to an envelope.
const sizeBytes = 5

// The encoders and decoders are kept, because their tables are most of the cost of compressing. Each serves one call at
// a time and runs without goroutines. So one that the garbage collector drops needs no closing.
var (
	encoders sync.Pool // of *zstd.Encoder
	decoders sync.Pool // of *zstd.Decoder
)

// compressible reports whether a body of size bytes should be compressed. A body of up to above bytes should not, and
// none should if above is 0.
func compressible(size, above int) bool { return above > 0 && size > above && size <= maxBody }

// compress appends body, compressed, to dst. It adds no checksum, because the checksum of the envelope covers the body.
func compress(dst, body []byte) ([]byte, error) {
	enc, ok := encoders.Get().(*zstd.Encoder)
	if !ok {
		var err error
		if enc, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false)); err != nil {
			return nil, err
		}
	}
	defer encoders.Put(enc)
	return enc.EncodeAll(body, dst), nil
}

// decompress returns a body that was stored compressed and must have size bytes. It allocates no more than that, and
// only after it has checked that so many bytes can come out.
func decompress(stored []byte, size uint64) ([]byte, error) {
	if size > maxBody || size > maxRatio*uint64(len(stored)) {
		return nil, fmt.Errorf("%d bytes claim to be %d, of at most %d", len(stored), size, min(maxBody, maxRatio*len(stored)))
	}
	dec, ok := decoders.Get().(*zstd.Decoder)
	if !ok {
		var err error
		dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBody), zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			return nil, err
		}
	}
	defer decoders.Put(dec)
	body, err := dec.DecodeAll(stored, make([]byte, 0, size))
	if err != nil {
		return nil, fmt.Errorf("decompress %d bytes to %d: %w", len(stored), size, err)
	}
	if uint64(len(body)) != size {
		return nil, fmt.Errorf("%d bytes claim to be %d and are %d", len(stored), size, len(body))
	}
	return body, nil
}
