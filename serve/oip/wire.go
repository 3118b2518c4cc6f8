package oip

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
)

// UnmarshalJSON reads parameters: strings, numbers and booleans by name. Null stands for a
// parameter that is not given.
func (p *Parameters) UnmarshalJSON(text []byte) error {
	if n := parts(text); n > maxParts {
		return fmt.Errorf("%d parameters; at most %d are taken", n, maxParts)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var values map[string]any
	if err := d.Decode(&values); err != nil {
		return errors.New("parameters are no object")
	}
	for name, v := range values {
		switch v := v.(type) {
		case nil:
			delete(values, name)
		case string, bool:
		case json.Number:
			if n, err := v.Int64(); err == nil {
				values[name] = n
			} else if f, err := v.Float64(); err == nil {
				values[name] = f
			} else {
				return fmt.Errorf("parameter %q: %v is no number of 64 bits", name, v)
			}
		default:
			return fmt.Errorf("parameter %q is neither string, number nor boolean", name)
		}
	}
	*p = values
	return nil
}

// wireRequest is a request's JSON object.
type wireRequest struct {
	ID         string     `json:"id"`
	Parameters Parameters `json:"parameters"`
	Inputs     few[struct {
		Name       string          `json:"name"`
		Datatype   Datatype        `json:"datatype"`
		Shape      few[int64]      `json:"shape"`
		Parameters Parameters      `json:"parameters"`
		Data       json.RawMessage `json:"data"`
	}] `json:"inputs"`
	Outputs few[struct {
		Name       string     `json:"name"`
		Parameters Parameters `json:"parameters"`
	}] `json:"outputs"`
}

// Names of the parameters of the binary tensor data extension.
const (
	binaryDataSize   = "binary_data_size"   // of an input or a response's output: bytes after the JSON object
	binaryData       = "binary_data"        // of a requested output: whether to send it so
	binaryDataOutput = "binary_data_output" // of a request: what holds for outputs that don't say
)

// parseRequest reads a request's body: a JSON object of headerLength bytes and, after it,
// the binary data of the inputs that have any. Model and version are left empty. Tensors may
// share the body's memory.
func parseRequest(body []byte, headerLength int) (*Request, error) {
	if headerLength < 0 || headerLength > len(body) {
		return nil, fmt.Errorf("a JSON object of %d bytes in a body of %d", headerLength, len(body))
	}
	var w wireRequest
	if err := json.Unmarshal(body[:headerLength], &w); err != nil {
		return nil, fmt.Errorf("the request is no JSON object of the protocol: %w", err)
	}
	rest := body[headerLength:]
	r := &Request{ID: w.ID, Parameters: w.Parameters, Inputs: make([]Tensor, len(w.Inputs)), Outputs: make([]Output, len(w.Outputs))}
	for i, in := range w.Inputs {
		data, after, err := inputData(in.Parameters, in.Data, rest, in.Datatype, in.Shape)
		if err != nil {
			return nil, fmt.Errorf("input %q: %w", in.Name, err)
		}
		r.Inputs[i] = Tensor{Name: in.Name, Datatype: in.Datatype, Shape: in.Shape, Parameters: in.Parameters, Data: data}
		rest = after
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes of binary data belong to no input", len(rest))
	}
	for i, out := range w.Outputs {
		r.Outputs[i] = Output{Name: out.Name, Parameters: out.Parameters}
	}
	return r, r.check()
}

// inputData returns an input's data, from JSON or from the front of the binary rest, and
// what is left of that.
func inputData(p Parameters, text json.RawMessage, rest []byte, datatype Datatype, shape []int64) (data, after []byte, err error) {
	size, binary, err := p.Int(binaryDataSize)
	switch {
	case err != nil:
		return nil, nil, err
	case string(text) == "null":
		text = nil // as if it were not there
	}
	switch {
	case !binary && text == nil:
		return nil, nil, errors.New("it has neither data nor parameter " + binaryDataSize)
	case !binary:
		data, err = parseData(text, datatype, shape)
		return data, rest, err
	case text != nil:
		return nil, nil, errors.New("it has both data and parameter " + binaryDataSize)
	case size < 0 || size > int64(len(rest)):
		return nil, nil, fmt.Errorf("%s is %d, and %d bytes are left after the JSON object of the request", binaryDataSize, size, len(rest))
	}
	return rest[:size:size], rest[size:], nil
}

// binaryOutputs returns which outputs of a response the request wants as binary data.
func binaryOutputs(r *Request) (wants func(output string) bool, err error) {
	all, _, err := r.Parameters.Bool(binaryDataOutput)
	if err != nil {
		return nil, err
	}
	single := map[string]bool{}
	for _, out := range r.Outputs {
		b, given, err := out.Parameters.Bool(binaryData)
		if err != nil {
			return nil, fmt.Errorf("output %q: %w", out.Name, err)
		}
		if given {
			single[out.Name] = b
		}
	}
	return func(output string) bool {
		if b, given := single[output]; given {
			return b
		}
		return all
	}, nil
}

// wireOutput is an output's JSON object, but for its data.
type wireOutput struct {
	Name       string     `json:"name"`
	Datatype   Datatype   `json:"datatype"`
	Shape      []int64    `json:"shape"`
	Parameters Parameters `json:"parameters,omitempty"`
}

// wireResponse is a response's JSON object, but for its outputs.
type wireResponse struct {
	Model      string     `json:"model_name"`
	Version    string     `json:"model_version,omitempty"`
	ID         string     `json:"id,omitempty"`
	Parameters Parameters `json:"parameters,omitempty"`
}

// formatResponse returns a response's JSON object and the binary data that follow it, nil if
// no output is wanted so.
func formatResponse(r *Response, id string, inBinary func(output string) bool) (object []byte, after [][]byte, err error) {
	object, err = json.Marshal(wireResponse{Model: r.Model, Version: r.Version, ID: id, Parameters: r.Parameters})
	if err != nil {
		return nil, nil, err
	}
	// The arrays are put into the object by hand: encoding/json would read every number
	// of a map again.
	object = append(object[:len(object)-1], `,"outputs":[`...)
	for i := range r.Outputs {
		t := &r.Outputs[i]
		w := wireOutput{Name: t.Name, Datatype: t.Datatype, Shape: t.Shape, Parameters: t.Parameters}
		binary := inBinary(t.Name)
		if binary {
			w.Parameters = Parameters{}
			maps.Copy(w.Parameters, t.Parameters)
			w.Parameters[binaryDataSize] = len(t.Data)
			after = append(after, t.Data)
		}
		output, err := json.Marshal(w)
		if err != nil {
			return nil, nil, err
		}
		if i > 0 {
			object = append(object, ',')
		}
		object = append(object, output...)
		if !binary {
			object = append(object[:len(object)-1], `,"data":`...)
			if object, err = appendData(object, t); err != nil {
				return nil, nil, err
			}
			object = append(object, '}')
		}
	}
	return append(object, "]}"...), after, nil
}
