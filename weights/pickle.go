package weights

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"
)

// A pickle is a program for a stack machine. In Python it may name any function of any library and call it. This machine
// builds containers, numbers, text and references to tensors; whatever else a pickle names or calls becomes an opaque
// value, so that a state dict can be found beside an optimiser or a settings object. It never recurses, so nesting costs
// a hostile file's author more than its reader. (Opcodes: Python's Lib/pickletools.py; protocols 2 to 5.)

const (
	maxPickle  = 64 << 20 // bytes; a ResNet-18 state dict needs 20 KB
	maxSteps   = 2 << 20  // of all pickles of a file; each may cost some hundred bytes of memory; see spend
	maxName    = 255      // bytes of a global's module or name
	maxLongLen = 255      // bytes of an integer that is kept
)

// What the machine puts on its stack, besides nil, bool, int64, float64 and string.
type (
	tuple []any
	array struct{ items []any }          // a list or set
	dict  struct{ items map[string]any } // entries under keys that are not text are dropped

	long   string // an integer beyond 64 bits, as its little-endian bytes
	global string // a class or function, "module.name"
	opaque string // a value made by a global that is not known: its name
)

// storageView is a window of a storage, in elements.
type storageView struct {
	*storage
	offset, length int64
}

// storage names a piece of memory that lies elsewhere in the file.
type storage struct {
	key    string
	dtype  DType
	length int64 // elements
}

// tensorRef is a tensor that was described but not read. Its numbers are not yet checked against the storage.
type tensorRef struct {
	from          storageView
	offset        int64 // elements into from
	shape, stride []int64
}

// source hands out the bytes of one or more pickles. It counts these and the steps that the pickles take together.
type source struct {
	r     *bufio.Reader
	used  int64
	left  int64
	steps int
}

func newSource(r io.ReaderAt, size int64) *source {
	size = min(size, maxPickle)
	return &source{r: bufio.NewReader(io.NewSectionReader(r, 0, size)), left: size}
}

// unpickler is the machine. Its first error stays and ends the run.
type unpickler struct {
	src      *source
	stack    []any
	marks    []int // heights of the stack at the open marks
	memo     map[uint32]any
	storages map[string]*storage
	err      error
}

// unpickle runs one pickle. The second result holds the storages it refers to, by key.
func unpickle(src *source) (any, map[string]*storage, error) {
	m := &unpickler{src: src, memo: make(map[uint32]any), storages: make(map[string]*storage)}
	for m.err == nil {
		m.spend(1)
		op := m.byte()
		if op == '.' && m.err == nil {
			result := m.pop()
			return result, m.storages, m.err
		}
		if m.err == nil {
			m.step(op)
		}
	}
	return nil, nil, m.err
}

// spend counts steps: one for each opcode, and one more for each value that an opcode copies out of a container. A
// pickle can recall a long list by a few bytes, and copy it, as often as it likes.
func (m *unpickler) spend(steps int) {
	if m.src.steps += steps; m.src.steps > maxSteps {
		m.fail(ErrUnsupported, "the pickle takes more than %d steps", maxSteps)
	}
}

func (m *unpickler) step(op byte) {
	switch op {
	case 0x80: // PROTO
		if v := m.byte(); v > 5 {
			m.fail(ErrUnsupported, "pickle protocol %d, 5 is the newest known", v)
		}
	case 0x95: // FRAME
		m.skip(8)

	case 'N': // NONE
		m.push(nil)
	case 0x88: // NEWTRUE
		m.push(true)
	case 0x89: // NEWFALSE
		m.push(false)
	case 'K': // BININT1
		m.push(int64(m.byte()))
	case 'M': // BININT2
		m.push(int64(m.number(2)))
	case 'J': // BININT
		m.push(int64(int32(m.number(4))))
	case 0x8a: // LONG1
		m.pushLong(uint64(m.byte()))
	case 0x8b: // LONG4
		m.pushLong(m.number(4))
	case 'G': // BINFLOAT, big endian
		if b := m.bytes(8); b != nil {
			m.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
		}

	case 0x8c, 'U': // SHORT_BINUNICODE, SHORT_BINSTRING
		m.push(string(m.bytes(uint64(m.byte()))))
	case 'X', 'T': // BINUNICODE, BINSTRING
		m.push(string(m.bytes(m.number(4))))
	case 0x8d: // BINUNICODE8
		m.push(string(m.bytes(m.number(8))))
	case 'C': // SHORT_BINBYTES
		m.skip(uint64(m.byte()))
		m.push(opaque("bytes"))
	case 'B': // BINBYTES
		m.skip(m.number(4))
		m.push(opaque("bytes"))
	case 0x8e, 0x96: // BINBYTES8, BYTEARRAY8
		m.skip(m.number(8))
		m.push(opaque("bytes"))

	case '(': // MARK
		m.marks = append(m.marks, len(m.stack))
	case '0': // POP
		if n := len(m.marks); n > 0 && m.marks[n-1] == len(m.stack) {
			m.marks = m.marks[:n-1]
		} else {
			m.pop()
		}
	case '1': // POP_MARK
		m.popMark()
	case '2': // DUP
		m.push(m.top())

	case ')': // EMPTY_TUPLE
		m.push(tuple{})
	case 't': // TUPLE
		m.push(tuple(m.popMark()))
	case 0x85, 0x86, 0x87: // TUPLE1, TUPLE2, TUPLE3
		t := make(tuple, op-0x84)
		for i := range t {
			t[len(t)-1-i] = m.pop()
		}
		m.push(t)
	case ']', 0x8f: // EMPTY_LIST, EMPTY_SET
		m.push(&array{})
	case 'l', 0x91: // LIST, FROZENSET
		m.push(&array{items: m.popMark()})
	case 'a': // APPEND
		m.extend([]any{m.pop()})
	case 'e', 0x90: // APPENDS, ADDITEMS
		m.extend(m.popMark())
	case '}': // EMPTY_DICT
		m.push(&dict{})
	case 'd': // DICT
		items := m.popMark()
		m.push(&dict{})
		m.setItems(items)
	case 's': // SETITEM
		value, key := m.pop(), m.pop()
		m.setItems([]any{key, value})
	case 'u': // SETITEMS
		m.setItems(m.popMark())

	case 'q': // BINPUT
		m.memo[uint32(m.byte())] = m.top()
	case 'r': // LONG_BINPUT
		m.memo[uint32(m.number(4))] = m.top()
	case 0x94: // MEMOIZE
		m.memo[uint32(len(m.memo))] = m.top()
	case 'h': // BINGET
		m.recall(uint32(m.byte()))
	case 'j': // LONG_BINGET
		m.recall(uint32(m.number(4)))

	case 'c': // GLOBAL
		module := m.line()
		m.pushGlobal(module, m.line())
	case 0x93: // STACK_GLOBAL
		name, module := m.popName(), m.popName()
		m.pushGlobal(module, name)
	case 'R', 0x81: // REDUCE, NEWOBJ
		args := m.pop()
		m.call(m.pop(), args)
	case 0x92: // NEWOBJ_EX, with arguments by name
		m.pop()
		args := m.pop()
		m.call(m.pop(), args)
	case 'b': // BUILD hands an object its state; those that are known have none that matters
		m.pop()
		m.top()
	case 'Q': // BINPERSID
		m.pushPersistent(m.pop())

	default:
		m.fail(ErrUnsupported, "pickle opcode %#02x; save the file again with a current PyTorch", op)
	}
}

// fail keeps the first error.
func (m *unpickler) fail(kind error, format string, args ...any) {
	if m.err == nil {
		m.err = fmt.Errorf("%w: "+format, append([]any{kind}, args...)...)
	}
}

// Reading. After an error these return zero values.

func (m *unpickler) take(n uint64) bool {
	if m.err == nil && n > uint64(m.src.left) {
		m.fail(ErrDamaged, "the pickle needs %d bytes at %d, %d are left", n, m.src.used, m.src.left)
	}
	if m.err != nil {
		return false
	}
	m.src.left -= int64(n)
	m.src.used += int64(n)
	return true
}

func (m *unpickler) byte() byte {
	if !m.take(1) {
		return 0
	}
	b, err := m.src.r.ReadByte()
	m.readError(err)
	return b
}

func (m *unpickler) bytes(n uint64) []byte {
	if !m.take(n) {
		return nil
	}
	b := make([]byte, n)
	_, err := io.ReadFull(m.src.r, b)
	m.readError(err)
	return b
}

func (m *unpickler) skip(n uint64) {
	if m.take(n) {
		_, err := m.src.r.Discard(int(n))
		m.readError(err)
	}
}

func (m *unpickler) readError(err error) {
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		m.fail(ErrDamaged, "the pickle is cut short")
	case err != nil && m.err == nil:
		m.err = err
	}
}

// number reads a little-endian number of 2, 4 or 8 bytes.
func (m *unpickler) number(n uint64) uint64 {
	var b [8]byte
	copy(b[:], m.bytes(n))
	return binary.LittleEndian.Uint64(b[:])
}

func (m *unpickler) line() string {
	var b strings.Builder
	for m.err == nil {
		c := m.byte()
		if c == '\n' {
			break
		}
		if b.Len() == maxName {
			m.fail(ErrDamaged, "the name of a global exceeds %d bytes", maxName)
		}
		b.WriteByte(c)
	}
	return b.String()
}

// The stack. What lies under the last mark is out of reach.

func (m *unpickler) push(v any) {
	m.stack = append(m.stack, v)
}

func (m *unpickler) top() any {
	floor := 0
	if n := len(m.marks); n > 0 {
		floor = m.marks[n-1]
	}
	if len(m.stack) == floor {
		m.fail(ErrDamaged, "the pickle takes from an empty stack")
		return nil
	}
	return m.stack[len(m.stack)-1]
}

func (m *unpickler) pop() any {
	v := m.top()
	if m.err == nil {
		m.stack = m.stack[:len(m.stack)-1]
	}
	return v
}

// popName takes a global's module or name.
func (m *unpickler) popName() string {
	s, ok := m.pop().(string)
	if !ok {
		m.fail(ErrDamaged, "the name of a global is not text")
	}
	if len(s) > maxName {
		m.fail(ErrDamaged, "the name of a global exceeds %d bytes", maxName)
		return ""
	}
	return s
}

// popMark takes everything above the last mark, and the mark.
func (m *unpickler) popMark() []any {
	n := len(m.marks)
	if n == 0 {
		m.fail(ErrDamaged, "the pickle closes a mark it did not open")
		return nil
	}
	at := m.marks[n-1]
	m.marks = m.marks[:n-1]
	items := append([]any(nil), m.stack[at:]...)
	m.stack = m.stack[:at]
	return items
}

func (m *unpickler) recall(index uint32) {
	v, ok := m.memo[index]
	if !ok {
		m.fail(ErrDamaged, "the pickle recalls memo %d, which was never set", index)
	}
	m.push(v)
}

// Values.

// pushLong reads an integer in two's complement of n bytes.
func (m *unpickler) pushLong(n uint64) {
	if n > maxLongLen {
		m.skip(n)
		m.push(opaque("int"))
		return
	}
	b := m.bytes(n)
	if n > 8 {
		m.push(long(b))
		return
	}
	var v [8]byte
	copy(v[:], b)
	if n > 0 {
		unused := 64 - 8*n
		m.push(int64(binary.LittleEndian.Uint64(v[:])) << unused >> unused)
		return
	}
	m.push(int64(0))
}

func (m *unpickler) extend(items []any) {
	switch v := m.top().(type) {
	case *array:
		v.items = append(v.items, items...)
	case opaque:
	default:
		m.fail(ErrDamaged, "the pickle appends to a %s", kindOf(v))
	}
}

// setItems stores alternating keys and values in the dict on top.
func (m *unpickler) setItems(items []any) {
	if len(items)%2 != 0 {
		m.fail(ErrDamaged, "the pickle sets a key without a value")
		return
	}
	switch v := m.top().(type) {
	case *dict:
		for i := 0; i < len(items); i += 2 {
			if key, ok := items[i].(string); ok {
				v.set(key, items[i+1])
			}
		}
	case opaque:
	default:
		m.fail(ErrDamaged, "the pickle sets a key of a %s", kindOf(v))
	}
}

func (d *dict) set(key string, value any) {
	if d.items == nil {
		d.items = make(map[string]any)
	}
	d.items[key] = value
}

// kindOf says what a value is, for messages.
func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return "bool"
	case int64, long:
		return "number"
	case float64:
		return "number"
	case string:
		return "text"
	case tuple:
		return "tuple"
	case *array:
		return "list"
	case *dict:
		return "dict"
	case *tensorRef:
		return "tensor"
	case storageView:
		return "storage"
	case global:
		return quote(string(v))
	case opaque:
		return quote(string(v)) + " object"
	}
	return "value"
}
