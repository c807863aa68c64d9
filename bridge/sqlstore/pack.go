package sqlstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/klauspost/compress/zstd"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

// maxPacked bounds what is unpacked, so that a damaged database takes no memory.
const maxPacked = 64 << 20

// One of each is for all stores, and may be used by several goroutines at once. They have channels, which belong to the synctest bubble
// that makes them: these belong to none.
var (
	packer   = newPacker()
	unpacker = newUnpacker()
)

func newPacker() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2), zstd.WithLowerEncoderMem(true),
		zstd.WithWindowSize(256<<10), zstd.WithEncoderCRC(false))
	if err != nil {
		panic(err) // options of the program
	}
	e.EncodeAll([]byte{0}, nil) // it makes the rest of itself now
	return e
}

func newUnpacker() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxPacked))
	if err != nil {
		panic(err)
	}
	return d
}

// packMagic is what zstd begins with, and no JSON.
var packMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// pack is what Graph said of an event as it is kept: compressed, unless that saves nothing.
func pack(said []byte) []byte {
	packed := packer.EncodeAll(said, nil)
	if len(packed) >= len(said) && !bytes.HasPrefix(said, packMagic) {
		return notNil(said)
	}
	return packed
}

func unpack(kept []byte) ([]byte, error) {
	if !bytes.HasPrefix(kept, packMagic) {
		return kept, nil
	}
	return unpacker.DecodeAll(kept, nil)
}

// packRows is occurrences of one series in one piece. Next to each other, little is left of what they have in common.
func packRows(rows []bridge.Row) []byte {
	var b []byte
	text := func(s []byte) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	instant := func(t time.Time) {
		if t.IsZero() {
			b = append(b, 0)
			return
		}
		b = binary.AppendVarint(append(b, 1), t.Unix())
	}
	for _, r := range rows {
		text([]byte(r.ID))
		b = binary.AppendVarint(b, r.Round)
		instant(r.Span.Start)
		instant(r.Span.End)
		text([]byte(r.Subject))
		text([]byte(r.ICalUID))
		text(r.Raw)
	}
	return packer.EncodeAll(b, nil)
}

var errDamaged = errors.New("the packed occurrences are damaged")

// unpackRows are the occurrences of a series that packRows has made one piece of.
func unpackRows(packed []byte, series graph.EventID) (rows []bridge.Row, err error) {
	b, err := unpacker.DecodeAll(packed, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	number := func() (n int64) {
		n, used := binary.Varint(b)
		if used <= 0 {
			err, b = errDamaged, nil
			return 0
		}
		b = b[used:]
		return n
	}
	text := func() []byte {
		n, used := binary.Uvarint(b)
		if used <= 0 || n > uint64(len(b)-used) {
			err, b = errDamaged, nil
			return nil
		}
		s := b[used : used+int(n) : used+int(n)]
		b = b[used+int(n):]
		return s
	}
	instant := func() time.Time {
		if len(b) == 0 {
			err = errDamaged
			return time.Time{}
		}
		known := b[0] != 0
		if b = b[1:]; !known {
			return time.Time{}
		}
		return time.Unix(number(), 0).UTC()
	}
	for len(b) > 0 {
		r := bridge.Row{Series: series, Kind: bridge.KindOccurrence}
		r.ID = graph.EventID(text())
		r.Round = number()
		r.Span.Start, r.Span.End = instant(), instant()
		r.Subject, r.ICalUID = string(text()), string(text())
		r.Raw = text()
		if err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return rows, nil
}
