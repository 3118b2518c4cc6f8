package oip

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// parseData returns the elements of a JSON array, flat or nested as the shape says, in the
// form of [Tensor.Data]. The text must be sound JSON without space around it.
func parseData(text []byte, datatype Datatype, shape []int64) ([]byte, error) {
	size, known := datatype.size()
	switch {
	case !known:
		return nil, fmt.Errorf("datatype %q is none of the protocol", datatype)
	case datatype == FP16 || datatype == BF16:
		return nil, fmt.Errorf("%s has no form in JSON; send it as binary data", datatype)
	case len(text) == 0 || text[0] != '[':
		return nil, errors.New("data is no array")
	}
	// An element takes two bytes of text or more: itself and a comma, or the last bracket.
	n, err := count(shape, 2, len(text))
	if err != nil {
		return nil, err
	}
	p := dataParser{rest: text, datatype: datatype, size: size, out: make([]byte, 0, n*size+widest)}
	dims := []int64{int64(n)}
	if inside := trimSpace(text[1:]); inside[0] == '[' {
		dims = shape
	}
	if err := p.array(dims); err != nil {
		return nil, err
	}
	return p.out, nil
}

// widest is the largest size of a number in bytes: so many are written of each, and those
// that it does not have are overwritten by the next.
const widest = 8

// isSpace tells what JSON allows between tokens.
func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// trimSpace returns sound JSON from its next token on.
func trimSpace(text []byte) []byte {
	for isSpace(text[0]) {
		text = text[1:]
	}
	return text
}

// dataParser reads the elements of sound JSON.
type dataParser struct {
	rest     []byte
	datatype Datatype
	size     int
	out      []byte
}

// array reads an array of the shape, which is at the start of the rest.
func (p *dataParser) array(shape []int64) error {
	p.rest = trimSpace(p.rest[1:])
	n := int64(0)
	for p.rest[0] != ']' {
		if p.rest[0] == ',' {
			p.rest = trimSpace(p.rest[1:])
		}
		nested := p.rest[0] == '['
		var err error
		switch {
		case len(shape) > 1 && nested:
			err = p.array(shape[1:])
		case len(shape) > 1 || nested || p.rest[0] == '{':
			err = errors.New("data is nested otherwise than the shape says; flat is fine, too")
		default:
			err = p.element()
		}
		if err != nil {
			return err
		}
		n++
		p.rest = trimSpace(p.rest)
	}
	p.rest = p.rest[1:]
	if len(shape) == 0 || n != shape[0] {
		return fmt.Errorf("the data have %d elements where the shape has %v", n, shape)
	}
	return nil
}

// element reads a number, a string, true, false or null.
func (p *dataParser) element() error {
	end := 1
	if p.rest[0] == '"' {
		for p.rest[end] != '"' {
			if p.rest[end] == '\\' {
				end++
			}
			end++
		}
		end++
	} else {
		for c := p.rest[end]; c != ',' && c != ']' && !isSpace(c); c = p.rest[end] {
			end++
		}
	}
	token := p.rest[:end]
	p.rest = p.rest[end:]
	if err := p.append(token); err != nil {
		const shown = 40
		if len(token) > shown {
			token = append(token[:shown:shown], "…"...)
		}
		return fmt.Errorf("element %s: %w", token, err)
	}
	return nil
}

// append converts a token.
func (p *dataParser) append(token []byte) (err error) {
	little, end := binary.LittleEndian, len(p.out)+p.size
	switch p.datatype {
	case Bool:
		switch string(token) {
		case "true":
			p.out = append(p.out, 1)
		case "false":
			p.out = append(p.out, 0)
		default:
			return errors.New("neither true nor false")
		}
	case Uint8, Uint16, Uint32, Uint64:
		var v uint64
		v, err = strconv.ParseUint(string(token), 10, 8*p.size)
		p.out = little.AppendUint64(p.out, v)[:end]
	case Int8, Int16, Int32, Int64:
		var v int64
		v, err = strconv.ParseInt(string(token), 10, 8*p.size)
		p.out = little.AppendUint64(p.out, uint64(v))[:end]
	case FP32, FP64:
		if token[0] != '-' && (token[0] < '0' || token[0] > '9') {
			return errors.New("no number")
		}
		var v float64
		v, err = strconv.ParseFloat(string(token), 8*p.size)
		if p.datatype == FP32 {
			p.out = little.AppendUint32(p.out, math.Float32bits(float32(v)))
		} else {
			p.out = little.AppendUint64(p.out, math.Float64bits(v))
		}
	case Bytes:
		if token[0] != '"' {
			return errors.New("no string")
		}
		if !bytes.Contains(token, []byte{'\\'}) {
			p.out = appendElement(p.out, token[1:len(token)-1])
			return nil
		}
		var text string
		if err := json.Unmarshal(token, &text); err != nil {
			return err
		}
		p.out = appendElement(p.out, text)
	}
	if err != nil {
		return fmt.Errorf("no %s", p.datatype) // strconv's own words repeat the token
	}
	return nil
}

// appendData appends the elements of a tensor as a flat JSON array. BYTES become strings,
// in which what is no UTF-8 is replaced. It is an error if a number has no form in JSON.
func appendData(text []byte, t *Tensor) ([]byte, error) {
	if t.Datatype == FP16 || t.Datatype == BF16 {
		return nil, fmt.Errorf("output %q: %s has no form in JSON; ask for binary data", t.Name, t.Datatype)
	}
	little := binary.LittleEndian
	text = append(text, '[')
	if t.Datatype == Bytes {
		for element := range t.Elements() {
			quoted, err := json.Marshal(string(element))
			if err != nil {
				return nil, err
			}
			text = append(append(text, quoted...), ',')
		}
	} else {
		size, _ := t.Datatype.size()
		for data := t.Data; len(data) >= size; data = data[size:] {
			switch t.Datatype {
			case Bool:
				text = strconv.AppendBool(text, data[0] != 0)
			case Uint8:
				text = strconv.AppendUint(text, uint64(data[0]), 10)
			case Uint16:
				text = strconv.AppendUint(text, uint64(little.Uint16(data)), 10)
			case Uint32:
				text = strconv.AppendUint(text, uint64(little.Uint32(data)), 10)
			case Uint64:
				text = strconv.AppendUint(text, little.Uint64(data), 10)
			case Int8:
				text = strconv.AppendInt(text, int64(int8(data[0])), 10)
			case Int16:
				text = strconv.AppendInt(text, int64(int16(little.Uint16(data))), 10)
			case Int32:
				text = strconv.AppendInt(text, int64(int32(little.Uint32(data))), 10)
			case Int64:
				text = strconv.AppendInt(text, int64(little.Uint64(data)), 10)
			case FP32, FP64:
				var v float64
				if t.Datatype == FP32 {
					v = float64(math.Float32frombits(little.Uint32(data)))
				} else {
					v = math.Float64frombits(little.Uint64(data))
				}
				if math.IsNaN(v) || math.IsInf(v, 0) {
					return nil, fmt.Errorf("output %q: %v has no form in JSON; ask for binary data", t.Name, v)
				}
				text = strconv.AppendFloat(text, v, 'g', -1, 8*size)
			}
			text = append(text, ',')
		}
	}
	if text[len(text)-1] == ',' {
		text = text[:len(text)-1]
	}
	return append(text, ']'), nil
}
