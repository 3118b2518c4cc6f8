package oip

import (
	"encoding/json"
	"errors"
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// A request of many small parts takes many times its size once it is read. No request needs
// more than these.
const (
	maxParts    = 64      // tensors, dimensions or parameters, in JSON, of one kind in one place
	maxMessages = 1 << 12 // tensors and parameters of a message of gRPC, all together
	maxElements = 1 << 16 // strings of bytes in a message of gRPC
)

// few is an array of a request that has few elements.
type few[T any] []T

func (f *few[T]) UnmarshalJSON(text []byte) error {
	if n := parts(text); n > maxParts {
		return fmt.Errorf("an array of %d; at most %d are taken", n, maxParts)
	}
	return json.Unmarshal(text, (*[]T)(f))
}

// parts counts what an array or an object holds directly. The text is JSON.
func parts(text []byte) int {
	commas, depth, empty := 0, 0, true
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case ' ', '\t', '\r', '\n':
			continue
		case '"':
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case '[', '{':
			if depth++; depth == 1 {
				continue
			}
		case ']', '}':
			if depth--; depth == 0 {
				continue
			}
		case ',':
			if depth == 1 {
				commas++
			}
		}
		empty = false
	}
	if empty {
		return 0
	}
	return commas + 1
}

// codec is that of gRPC, and refuses messages of too many parts.
type codec struct{ encoding.CodecV2 }

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	buffer := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buffer.Free()
	var n tally
	if err := n.add(buffer.ReadOnlyData(), m.ProtoReflect().Descriptor()); err != nil {
		return err
	}
	return proto.Unmarshal(buffer.ReadOnlyData(), m)
}

// A tally counts the parts of a message.
type tally struct{ messages, elements int }

// add counts the parts of an encoded message. What is wrong with it otherwise is for who
// reads it to tell.
func (n *tally) add(text []byte, message protoreflect.MessageDescriptor) error {
	for len(text) > 0 {
		number, kind, length := protowire.ConsumeTag(text)
		if length < 0 {
			return nil
		}
		text = text[length:]
		if length = protowire.ConsumeFieldValue(number, kind, text); length < 0 {
			return nil
		}
		value := text[:length]
		text = text[length:]
		field := message.Fields().ByNumber(number)
		if field == nil || kind != protowire.BytesType {
			continue
		}
		switch {
		case field.Message() != nil:
			n.messages++
			inner, _ := protowire.ConsumeBytes(value)
			if err := n.add(inner, field.Message()); err != nil {
				return err
			}
		case field.IsList() && !field.IsPacked():
			n.elements++
		}
		if n.messages > maxMessages || n.elements > maxElements {
			return errors.New("the message has too many tensors, parameters or elements")
		}
	}
	return nil
}
