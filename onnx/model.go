package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
)

const (
	irVersion = 8  // that of ONNX 1.12, with which opset 17 came
	opset     = 17 // of the standard operators
)

// A dataType is TensorProto.DataType.
type dataType int

const (
	float32s dataType = 1
	uint8s   dataType = 2
	int8s    dataType = 3
	int32s   dataType = 6
	int64s   dataType = 7
	float16s dataType = 10
)

// Field numbers of the messages, by ONNX's onnx.proto (github.com/onnx/onnx).
const (
	modelIRVersion       = 1
	modelProducerName    = 2
	modelProducerVersion = 3
	modelDoc             = 6
	modelGraph           = 7
	modelOpset           = 8
	modelMetadata        = 14

	opsetVersion = 2

	entryKey   = 1
	entryValue = 2

	graphNode        = 1
	graphName        = 2
	graphInitializer = 5
	graphInput       = 11
	graphOutput      = 12

	nodeInput     = 1
	nodeOutput    = 2
	nodeName      = 3
	nodeOp        = 4
	nodeAttribute = 5

	attributeName  = 1
	attributeFloat = 2
	attributeInt   = 3
	attributeText  = 4
	attributeInts  = 8
	attributeType  = 20

	tensorDims = 1
	tensorType = 2
	tensorName = 8
	tensorRaw  = 9

	valueName = 1
	valueType = 2
	valueDoc  = 3

	typeTensor  = 1
	typeElement = 1
	typeShape   = 2

	shapeDim     = 1
	dimValue     = 1
	dimParameter = 2
)

// Values of AttributeProto.AttributeType.
const (
	kindFloat = 1
	kindInt   = 2
	kindText  = 3
	kindInts  = 7
)

// A model is an ONNX model under construction.
type model struct {
	nodes        []node
	initializers []tensor
	inputs       []port
	outputs      []port
	metadata     [][2]string
	version      string // of the program
	doc          string

	counts map[string]int    // of names taken, by their beginning
	shared map[string]string // names of small constants, by content
}

func newModel() *model { return &model{counts: map[string]int{}, shared: map[string]string{}} }

// A node computes values, which have names, from others; an optional input that is left
// out has the name "".
type node struct {
	op         string
	in, out    []string
	attributes []attribute
}

type attribute struct {
	name  string
	value any // int, float32, string or []int
}

// A tensor is a constant.
type tensor struct {
	name  string
	kind  dataType
	shape []int
	raw   []byte // little endian
}

// A port is an input or an output of the model. A dimension is an int or the name of
// one that the caller chooses.
type port struct {
	name string
	kind dataType
	dims []any
	doc  string
}

// name returns a new name that begins so.
func (m *model) name(beginning string) string {
	n := m.counts[beginning]
	m.counts[beginning]++
	if n == 0 {
		return beginning
	}
	return fmt.Sprintf("%s_%d", beginning, n)
}

// node adds a node with one result and returns its name.
func (m *model) node(op string, in []string, attributes ...attribute) string {
	return m.named(m.name(op), op, in, attributes...)
}

// named is node with a name for the result.
func (m *model) named(name, op string, in []string, attributes ...attribute) string {
	m.nodes = append(m.nodes, node{op, in, []string{name}, attributes})
	return name
}

// constant adds a constant and returns its name.
func (m *model) constant(name string, kind dataType, shape []int, raw []byte) string {
	m.initializers = append(m.initializers, tensor{name, kind, shape, raw})
	return name
}

// integers returns the name of a constant of int64, a scalar if it is not a list.
func (m *model) integers(shape []int, v ...int) string {
	var raw []byte
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(x))
	}
	return m.share("int64", int64s, shape, raw)
}

// list is a constant list of integers, number a constant integer.
func (m *model) list(v ...int) string    { return m.integers([]int{len(v)}, v...) }
func (m *model) number(v int) string     { return m.integers(nil, v) }
func (m *model) scalar(v float32) string { return m.floats(nil, v) }

// floats returns the name of a constant of float32.
func (m *model) floats(shape []int, v ...float32) string {
	return m.share("float", float32s, shape, floatBytes(v))
}

// share adds a small constant, once.
func (m *model) share(beginning string, kind dataType, shape []int, raw []byte) string {
	key := fmt.Sprint(kind, shape, raw)
	name, ok := m.shared[key]
	if !ok {
		name = m.constant(m.name(beginning), kind, shape, raw)
		m.shared[key] = name
	}
	return name
}

func floatBytes(v []float32) []byte {
	raw := make([]byte, 0, 4*len(v))
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	return raw
}

// encode returns the model as ModelProto.
func (m *model) encode() message {
	var g message
	for _, n := range m.nodes {
		g.message(graphNode, n.encode())
	}
	g.text(graphName, "destseg")
	for _, t := range m.initializers {
		g.message(graphInitializer, t.encode())
	}
	for _, p := range m.inputs {
		g.message(graphInput, p.encode())
	}
	for _, p := range m.outputs {
		g.message(graphOutput, p.encode())
	}

	var set, all message
	set.integer(opsetVersion, opset)
	all.integer(modelIRVersion, irVersion)
	all.text(modelProducerName, "destseg")
	all.text(modelProducerVersion, m.version)
	all.text(modelDoc, m.doc)
	all.message(modelGraph, g)
	all.message(modelOpset, set)
	for _, entry := range m.metadata {
		var e message
		e.text(entryKey, entry[0])
		e.text(entryValue, entry[1])
		all.message(modelMetadata, e)
	}
	return all
}

func (n node) encode() message {
	var e message
	for _, name := range n.in {
		e.text(nodeInput, name)
	}
	for _, name := range n.out {
		e.text(nodeOutput, name)
	}
	e.text(nodeName, n.out[0])
	e.text(nodeOp, n.op)
	for _, a := range n.attributes {
		e.message(nodeAttribute, a.encode())
	}
	return e
}

func (a attribute) encode() message {
	var e message
	e.text(attributeName, a.name)
	kind := int64(0)
	switch v := a.value.(type) {
	case int:
		kind = kindInt
		e.integer(attributeInt, int64(v))
	case float32:
		kind = kindFloat
		e.float(attributeFloat, v)
	case string:
		kind = kindText
		e.text(attributeText, v)
	case []int:
		kind = kindInts
		for _, x := range v {
			e.integer(attributeInts, int64(x))
		}
	}
	e.integer(attributeType, kind)
	return e
}

func (t tensor) encode() message {
	var e message
	for _, d := range t.shape {
		e.integer(tensorDims, int64(d))
	}
	e.integer(tensorType, int64(t.kind))
	e.text(tensorName, t.name)
	e.bytes(tensorRaw, t.raw)
	return e
}

func (p port) encode() message {
	var shape, kind, all, e message
	for _, d := range p.dims {
		var dim message
		switch d := d.(type) {
		case int:
			dim.integer(dimValue, int64(d))
		case string:
			dim.text(dimParameter, d)
		}
		shape.message(shapeDim, dim)
	}
	kind.integer(typeElement, int64(p.kind))
	kind.message(typeShape, shape)
	all.message(typeTensor, kind)
	e.text(valueName, p.name)
	e.message(valueType, all)
	e.text(valueDoc, p.doc)
	return e
}
