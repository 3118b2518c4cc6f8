package onnx

import (
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// A message is a protocol buffer message: the pieces of its encoding, which follow
// each other. Large ones, the weights, are kept and not copied.
type message struct {
	pieces [][]byte
	size   int
}

func (m *message) add(b []byte) {
	m.pieces = append(m.pieces, b)
	m.size += len(b)
}

func (m *message) integer(field protowire.Number, v int64) {
	m.add(protowire.AppendVarint(protowire.AppendTag(nil, field, protowire.VarintType), uint64(v)))
}

func (m *message) float(field protowire.Number, v float32) {
	m.add(protowire.AppendFixed32(protowire.AppendTag(nil, field, protowire.Fixed32Type), math.Float32bits(v)))
}

func (m *message) bytes(field protowire.Number, b []byte) {
	m.add(protowire.AppendVarint(protowire.AppendTag(nil, field, protowire.BytesType), uint64(len(b))))
	m.add(b)
}

func (m *message) text(field protowire.Number, s string) { m.bytes(field, []byte(s)) }

func (m *message) message(field protowire.Number, inner message) {
	m.add(protowire.AppendVarint(protowire.AppendTag(nil, field, protowire.BytesType), uint64(inner.size)))
	m.pieces = append(m.pieces, inner.pieces...)
	m.size += inner.size
}

func (m *message) writeTo(w io.Writer) error {
	for _, b := range m.pieces {
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}
