package oip

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"strings"
	"testing"
)

// everyType holds a tensor of each data type that JSON can carry, its elements in JSON
// beside it.
func everyType() map[string]Tensor {
	little := binary.LittleEndian
	float64s := func(values ...float64) (data []byte) {
		for _, v := range values {
			data = little.AppendUint64(data, math.Float64bits(v))
		}
		return data
	}
	float32s := func(values ...float32) (data []byte) {
		for _, v := range values {
			data = little.AppendUint32(data, math.Float32bits(v))
		}
		return data
	}
	return map[string]Tensor{
		`true,false,true`:           {Datatype: Bool, Data: []byte{1, 0, 1}},
		`0,7,255`:                   {Datatype: Uint8, Data: []byte{0, 7, 255}},
		`0,258,65535`:               {Datatype: Uint16, Data: []byte{0, 0, 2, 1, 255, 255}},
		`0,1,4294967295`:            {Datatype: Uint32, Data: []byte{0, 0, 0, 0, 1, 0, 0, 0, 255, 255, 255, 255}},
		`0,1,18446744073709551615`:  {Datatype: Uint64, Data: append(append(make([]byte, 8), 1, 0, 0, 0, 0, 0, 0, 0), bytes.Repeat([]byte{255}, 8)...)},
		`-128,0,127`:                {Datatype: Int8, Data: []byte{128, 0, 127}},
		`-32768,-2,32767`:           {Datatype: Int16, Data: []byte{0, 128, 254, 255, 255, 127}},
		`-2147483648,-1,2147483647`: {Datatype: Int32, Data: []byte{0, 0, 0, 128, 255, 255, 255, 255, 255, 255, 255, 127}},
		`-9223372036854775808,9007199254740993,9223372036854775807`: {
			Datatype: Int64, Data: little.AppendUint64(little.AppendUint64(little.AppendUint64(nil, 1<<63), 1<<53+1), 1<<63-1),
		},
		`0.1,-0,3.4028235e+38`:               {Datatype: FP32, Data: float32s(0.1, float32(math.Copysign(0, -1)), math.MaxFloat32)},
		`0.1,5e-324,1.7976931348623157e+308`: {Datatype: FP64, Data: float64s(0.1, math.SmallestNonzeroFloat64, math.MaxFloat64)},
		`"","two\nlines","] , \" ü"`: {
			Datatype: Bytes, Data: appendElement(appendElement(appendElement([]byte(nil), ""), "two\nlines"), `] , " ü`),
		},
	}
}

func TestData(t *testing.T) {
	for text, tensor := range everyType() {
		for _, c := range []struct {
			text  string
			shape []int64
		}{
			{"[" + text + "]", []int64{3}},
			{"[\t" + text + " ]", []int64{3, 1}}, // flat
			{"[ [" + text + "]\n]", []int64{1, 3}},
			{"[[ [" + text + "] ] , [[" + text + "]]]", []int64{2, 1, 3}},
		} {
			want := bytes.Repeat(tensor.Data, strings.Count(c.text, text))
			got, err := parseData([]byte(c.text), tensor.Datatype, c.shape)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s %s %v: %v, %v; want %v", tensor.Datatype, c.text, c.shape, got, err, want)
			}
		}
		back, err := appendData(nil, &tensor)
		if err != nil || string(back) != "["+text+"]" {
			t.Errorf("%s: %s, %v; want [%s]", tensor.Datatype, back, err, text)
		}
	}
	for _, c := range []struct {
		text  string
		shape []int64
	}{{`[]`, []int64{0}}, {` []`[1:], []int64{2, 0}}, {`[[],[]]`, []int64{2, 0}}, {`[ ]`, []int64{0, 7}}, {`[]`, []int64{1 << 62, 1 << 62, 0}}} {
		if got, err := parseData([]byte(c.text), Uint8, c.shape); err != nil || len(got) != 0 {
			t.Errorf("%s %v: %v, %v", c.text, c.shape, got, err)
		}
	}
	if got, err := parseData([]byte(`[5]`), Uint8, nil); err != nil || !bytes.Equal(got, []byte{5}) {
		t.Errorf("a scalar: %v, %v", got, err)
	}
}

func TestDataRefused(t *testing.T) {
	for _, c := range []struct {
		text     string
		datatype Datatype
		shape    []int64
		want     string
	}{
		{`[1,2,3]`, Uint8, []int64{2}, "3 elements"},
		{`[1,2,3]`, Uint8, []int64{4}, "shape [4] has more elements than the data"},
		{`[1]`, Uint8, []int64{1 << 40}, "more elements than the data"},
		{`[1]`, Uint8, []int64{1 << 62, 4, 1 << 62}, "more elements than the data"},
		{`[1]`, Uint8, []int64{-1}, "negative"},
		{`[1]`, Uint8, []int64{-1, -1}, "negative"},
		{`[1]`, Uint8, make([]int64, 17), "17 dimensions"},
		{`[[1,2],[3]]`, Uint8, []int64{2, 2}, "1 elements where the shape has [2]"},
		{`[[1,2],[3,4]]`, Uint8, []int64{4}, "nested otherwise"},
		{`[[1,2],3,4]`, Uint8, []int64{2, 2}, "nested otherwise"},
		{`[[[1,2]],[[3,4]]]`, Uint8, []int64{2, 2}, "nested otherwise"},
		{`[1,[2]]`, Uint8, []int64{2}, "nested otherwise"},
		{`[{"a":1}]`, Uint8, []int64{1}, "nested otherwise"},
		{`[[]]`, Uint8, nil, "nested otherwise"},
		{`7`, Uint8, []int64{1}, "no array"},
		{`"7"`, Uint8, []int64{1}, "no array"},
		{`[256]`, Uint8, []int64{1}, "element 256: no UINT8"},
		{`[-1]`, Uint8, []int64{1}, "no UINT8"},
		{`[1.0]`, Uint8, []int64{1}, "no UINT8"},
		{`[128]`, Int8, []int64{1}, "no INT8"},
		{`["1"]`, Uint8, []int64{1}, "no UINT8"},
		{`[null]`, FP32, []int64{1}, "no number"},
		{`["1"]`, FP32, []int64{1}, "no number"},
		{`[1e99]`, FP32, []int64{1}, "no FP32"},
		{`[1]`, Bool, []int64{1}, "neither true nor false"},
		{`[1]`, Bytes, []int64{1}, "no string"},
		{`[1]`, FP16, []int64{1}, "binary"},
		{`[1]`, BF16, []int64{1}, "binary"},
		{`[1]`, "uint8", []int64{1}, "none of the protocol"},
	} {
		got, err := parseData([]byte(c.text), c.datatype, c.shape)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s %v: %v, %v; want an error with %q", c.text, c.datatype, c.shape, got, err, c.want)
		}
	}
	for _, v := range []float64{math.NaN(), math.Inf(1)} {
		tensor := Tensor{Datatype: FP64, Data: binary.LittleEndian.AppendUint64(nil, math.Float64bits(v))}
		if got, err := appendData(nil, &tensor); err == nil {
			t.Errorf("%v became %s", v, got)
		}
	}
}

func TestTensorCheck(t *testing.T) {
	for _, c := range []struct {
		tensor Tensor
		want   string // empty: it is sound
	}{
		{Tensor{Datatype: FP16, Shape: []int64{2, 1}, Data: make([]byte, 4)}, ""},
		{Tensor{Datatype: Uint8}, "takes 1 bytes, the data have 0"}, // no dimensions: one element
		{Tensor{Datatype: Uint8, Shape: []int64{0}}, ""},
		{Tensor{Datatype: Uint8, Shape: []int64{0, 1 << 62, 1 << 62}}, ""},
		{Tensor{Datatype: Uint8, Shape: []int64{0}, Data: []byte{1}}, "takes 0 bytes"},
		{Tensor{Datatype: Uint32, Shape: []int64{2}, Data: make([]byte, 7)}, "more elements"},
		{Tensor{Datatype: Uint32, Shape: []int64{1}, Data: make([]byte, 8)}, "takes 4 bytes, the data have 8"},
		{Tensor{Datatype: Uint8, Shape: []int64{1 << 32, 1 << 32}, Data: make([]byte, 8)}, "more elements"},
		{Tensor{Datatype: Uint8, Shape: []int64{-1, -8}, Data: make([]byte, 8)}, "negative"},
		{Tensor{Datatype: Bool, Shape: []int64{2}, Data: []byte{1, 2}}, "BOOL of 2"},
		{Tensor{Datatype: "FP8", Shape: []int64{1}, Data: []byte{1}}, "none of the protocol"},
		{Tensor{Datatype: Bytes, Shape: []int64{2}, Data: []byte{1, 0, 0, 0, 'a', 0, 0, 0, 0}}, ""},
		{Tensor{Datatype: Bytes, Shape: []int64{1}, Data: []byte{1, 0, 0, 0, 'a', 0, 0, 0, 0}}, "the data 2"},
		{Tensor{Datatype: Bytes, Shape: []int64{1}, Data: []byte{2, 0, 0, 0, 'a'}}, "its length is 2, and 1 bytes are left"},
		{Tensor{Datatype: Bytes, Shape: []int64{1}, Data: []byte{255, 255, 255, 255, 'a'}}, "its length is 4294967295"},
		{Tensor{Datatype: Bytes, Shape: []int64{1}, Data: []byte{1, 0, 0}}, "more elements"},
		{Tensor{Datatype: Bytes, Shape: []int64{1}, Data: []byte{0, 0, 0, 0, 1}}, "no length"},
	} {
		err := c.tensor.check()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v; want %q", c.tensor, err, c.want)
		}
	}
}

// FuzzData compares with encoding/json, which flattened holds the same elements.
func FuzzData(f *testing.F) {
	for text, tensor := range everyType() {
		f.Add("["+text+"]", string(tensor.Datatype), int64(3), int64(1))
		f.Add("[["+text+"]]", string(tensor.Datatype), int64(1), int64(3))
	}
	f.Fuzz(func(t *testing.T, text, datatype string, rows, columns int64) {
		text = strings.Trim(text, " \t\r\n")
		if !json.Valid([]byte(text)) {
			return
		}
		tensor := Tensor{Datatype: Datatype(datatype), Shape: []int64{rows, columns}}
		var err error
		if tensor.Data, err = parseData([]byte(text), tensor.Datatype, tensor.Shape); err != nil {
			return
		}
		if err := tensor.check(); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		back, err := appendData(nil, &tensor)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseData(back, tensor.Datatype, tensor.Shape)
		if err != nil || !bytes.Equal(again, tensor.Data) && tensor.Datatype != Bytes { // where what is no UTF-8 is replaced
			t.Fatalf("%s became %s: %v", text, back, err)
		}
		if tensor.Datatype != FP64 {
			return
		}
		var got, want []float64
		if err := json.Unmarshal(back, &got); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(strings.TrimLeft(text[1:], " \t\r\n"), "[") {
			var nested [][]float64
			if err := json.Unmarshal([]byte(text), &nested); err != nil {
				t.Fatal(err)
			}
			for _, row := range nested {
				want = append(want, row...)
			}
		} else if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) {
			t.Fatalf("%s became %s", text, back)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("%s became %s", text, back)
			}
		}
	})
}

// FuzzRequest reads a body as JSON up to a length and binary data behind it.
func FuzzRequest(f *testing.F) {
	for _, c := range []struct{ object, after string }{
		{`{"id":"42","inputs":[{"name":"input0","shape":[2,2],"datatype":"UINT32","data":[1,2,3,4]},{"name":"input1","shape":[3],"datatype":"BOOL","data":[true,false,true]}],"outputs":[{"name":"output0"}]}`, ""},
		{`{"model_name":"mymodel","inputs":[{"name":"input0","shape":[2,2],"datatype":"UINT32","parameters":{"binary_data_size":16}},{"name":"input1","shape":[3],"datatype":"BOOL","parameters":{"binary_data_size":3}}],"outputs":[{"name":"output0","parameters":{"binary_data":true}}]}`, "0123456789abcdef\x01\x00\x01"},
		{`{"parameters":{"binary_data_output":true},"inputs":[{"name":"image","shape":[2],"datatype":"BYTES","parameters":{"binary_data_size":11}}]}`, "\x03\x00\x00\x00abc\x00\x00\x00\x00"},
		{`{"inputs":[{"name":"image","shape":[1,1,2,3],"datatype":"UINT8","data":[[[[1,2,3],[4,5,6]]]]}]}`, ""},
		{`{"inputs":[{"name":"x","shape":[1],"datatype":"BYTES","data":["\u00e4"]}],"parameters":{"a":1.5,"b":"c","d":null}}`, ""},
	} {
		f.Add([]byte(c.object+c.after), len(c.object))
	}
	f.Fuzz(func(t *testing.T, body []byte, length int) {
		r, err := parseRequest(body, length)
		if err != nil {
			return
		}
		total := 0
		for _, in := range r.Inputs {
			total += len(in.Data)
			if in.Datatype == Bytes {
				for element := range in.Elements() {
					_ = element[:len(element):len(element)]
				}
			}
		}
		// An element of JSON has two bytes and becomes eight at most.
		if total > 4*len(body) {
			t.Fatalf("%d bytes of data from %d", total, len(body))
		}
		if _, err := binaryOutputs(r); err != nil {
			return
		}
		// What was read can be sent back as binary data, and is the same then.
		object, after, err := formatResponse(&Response{Model: "m", Parameters: r.Parameters, Outputs: r.Inputs}, r.ID, func(string) bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		var response struct {
			Outputs json.RawMessage `json:"outputs"`
		}
		if err := json.Unmarshal(object, &response); err != nil {
			t.Fatal(err)
		}
		request := `{"inputs":` + string(response.Outputs) + "}"
		again, err := parseRequest(append([]byte(request), bytes.Join(after, nil)...), len(request))
		if err != nil {
			t.Fatalf("%s: %v", request, err)
		}
		for i, in := range again.Inputs {
			if !bytes.Equal(in.Data, r.Inputs[i].Data) || in.Datatype != r.Inputs[i].Datatype {
				t.Fatalf("%+v became %+v", r.Inputs[i], in)
			}
		}
	})
}

// BenchmarkParseData reads a picture of 256×256 pixels, nested as clients in Python send it.
func BenchmarkParseData(b *testing.B) {
	p := noisePictures(1, 256, 256)[0]
	text, err := json.Marshal(nest(numbers(Tensor{Datatype: Uint8, Data: p.Pix}), []int64{1, 256, 256, 3}))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseData(text, Uint8, []int64{1, 256, 256, 3}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAppendData writes an anomaly map of 256×256 pixels.
func BenchmarkAppendData(b *testing.B) {
	t := Tensor{Datatype: FP32}
	for i := range 256 * 256 {
		t.Data = binary.LittleEndian.AppendUint32(t.Data, math.Float32bits(float32(i)/65537))
	}
	b.SetBytes(int64(len(t.Data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := appendData(nil, &t); err != nil {
			b.Fatal(err)
		}
	}
}
