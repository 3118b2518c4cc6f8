package oip

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The tests of this file follow inference_rest.md of the protocol and Triton's
// extension_binary_data.md, section by section.

// restClient asks a server over HTTP.
type restClient struct {
	t   *testing.T
	url string
}

func newRESTClient(t *testing.T, m Models, o Options) restClient {
	server := httptest.NewServer(NewHandler(m, o))
	t.Cleanup(server.Close)
	return restClient{t, server.URL}
}

// do returns the answer to a request.
func (c restClient) do(method, path string, body []byte, header ...string) (*http.Response, []byte) {
	c.t.Helper()
	r, err := http.NewRequest(method, c.url+path, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if method != http.MethodHead && response.ContentLength != int64(len(answer)) {
		c.t.Errorf("%s %s: Content-Length %d, %d bytes", method, path, response.ContentLength, len(answer))
	}
	return response, answer
}

// object returns the JSON object that a request is answered with.
func (c restClient) object(method, path, body string, status int) map[string]any {
	c.t.Helper()
	response, answer := c.do(method, path, []byte(body), "Content-Type", "application/json")
	if response.StatusCode != status || response.Header.Get("Content-Type") != "application/json" {
		c.t.Errorf("%s %s %.200s: status %d, %s; want %d\n%s", method, path, body, response.StatusCode, response.Header.Get("Content-Type"), status, answer)
	}
	var object map[string]any
	if err := json.Unmarshal(answer, &object); err != nil {
		c.t.Fatalf("%s %s: %v: %s", method, path, err, answer)
	}
	return object
}

// refused checks that a request is answered with the error object, which says what is wrong.
func (c restClient) refused(method, path, body string, status int, want string) {
	c.t.Helper()
	object := c.object(method, path, body, status)
	if text, ok := object["error"].(string); len(object) != 1 || !ok || !strings.Contains(text, want) {
		c.t.Errorf("%s %s %.200s: %v; want an error object with %q", method, path, body, object, want)
	}
}

// inputObject is a tensor as an element of a request's inputs.
func inputObject(t *testing.T, in Tensor, data any) string {
	t.Helper()
	object, err := json.Marshal(map[string]any{"name": in.Name, "datatype": in.Datatype, "shape": in.Shape, "data": data})
	if err != nil {
		t.Fatal(err)
	}
	return string(object)
}

// numbers returns the elements of a tensor of UINT8 or UINT32, flat.
func numbers(in Tensor) (flat []any) {
	size, _ := in.Datatype.size()
	for data := in.Data; len(data) > 0; data = data[size:] {
		v := 0
		for i := size - 1; i >= 0; i-- {
			v = v<<8 | int(data[i])
		}
		flat = append(flat, v)
	}
	return flat
}

// nest gives flat elements a shape.
func nest(flat []any, shape []int64) []any {
	if len(shape) < 2 {
		return flat
	}
	var rows []any
	for row := range slices.Chunk(flat, len(flat)/int(shape[0])) {
		rows = append(rows, nest(row, shape[1:]))
	}
	return rows
}

func TestRESTConformance(t *testing.T) {
	for name, s := range subjects(t) {
		t.Run(name, func(t *testing.T) {
			c := newRESTClient(t, s.models, Options{Name: "destseg", Version: "v1.2"})
			t.Run("health", func(t *testing.T) { restHealth(t, c, s) })
			t.Run("metadata", func(t *testing.T) { restMetadata(t, c, s) })
			t.Run("inference", func(t *testing.T) { restInference(t, c, s) })
			t.Run("binary", func(t *testing.T) { restBinary(t, c, s) })
			t.Run("errors", func(t *testing.T) { restErrors(t, c, s) })
		})
	}
}

func restHealth(t *testing.T, c restClient, s subject) {
	if got := c.object("GET", "/v2/health/live", "", 200); got["live"] != true {
		t.Errorf("live: %v", got)
	}
	want := s.models.Ready(t.Context()) == nil
	status := map[bool]int{true: 200, false: 503}[want]
	if got := c.object("GET", "/v2/health/ready", "", status); got["live"] != true || got["ready"] != want {
		t.Errorf("ready: %v", got)
	}
	for _, path := range []string{"/v2/models/" + s.model + "/ready", "/v2/models/" + s.model + "/versions/" + s.version + "/ready"} {
		if got := c.object("GET", path, "", 200); !reflect.DeepEqual(got, map[string]any{"name": s.model, "ready": true}) {
			t.Errorf("%s: %v", path, got)
		}
	}
	c.refused("GET", "/v2/models/nobody/ready", "", 404, "nobody")
	c.refused("GET", "/v2/models/"+strings.ToUpper(s.model)+"/ready", "", 404, "no model")
	c.refused("GET", "/v2/models/"+s.model+"/versions/99/ready", "", 404, "99")
}

func restMetadata(t *testing.T, c restClient, s subject) {
	for _, path := range []string{"/v2", "/v2/"} {
		want := map[string]any{"name": "destseg", "version": "v1.2", "extensions": []any{"binary_tensor_data"}}
		if got := c.object("GET", path, "", 200); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	for _, path := range []string{"/v2/models/" + s.model, "/v2/models/" + s.model + "/versions/" + s.version} {
		got := c.object("GET", path, "", 200)
		if got["name"] != s.model || !reflect.DeepEqual(got["versions"], []any{s.version}) {
			t.Errorf("%s: %v", path, got)
		}
		if project, format, ok := strings.Cut(fmt.Sprint(got["platform"]), "_"); !ok || project == "" || format == "" {
			t.Errorf("%s: platform %v is not project_format", path, got["platform"])
		}
		for _, which := range []string{"inputs", "outputs"} {
			tensors, ok := got[which].([]any)
			if !ok || len(tensors) == 0 {
				t.Errorf("%s: %s are %v", path, which, got[which])
			}
			for _, tensor := range tensors {
				tensor := tensor.(map[string]any)
				if _, known := Datatype(tensor["datatype"].(string)).size(); !known || tensor["name"] == "" || tensor["shape"] == nil {
					t.Errorf("%s: tensor %v", path, tensor)
				}
			}
		}
	}
	c.refused("GET", "/v2/models/nobody", "", 404, "nobody")
	c.refused("GET", "/v2/models/"+s.model+"/versions/99", "", 404, "99")
}

// outputNames are those that a model's metadata announce.
func outputNames(t *testing.T, s subject) (names []string) {
	t.Helper()
	m, err := s.models.Metadata(t.Context(), s.model, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range m.Outputs {
		names = append(names, out.Name)
	}
	return names
}

// outputsOf returns a response's outputs and their names, after checking what every response
// has. Data are checked to have as many elements as the shape says.
func outputsOf(t *testing.T, s subject, response map[string]any) (names []string, outputs []map[string]any) {
	t.Helper()
	if response["model_name"] != s.model || response["model_version"] != s.version {
		t.Errorf("model %v, version %v", response["model_name"], response["model_version"])
	}
	for _, out := range response["outputs"].([]any) {
		out := out.(map[string]any)
		n := 1
		for _, d := range out["shape"].([]any) {
			n *= int(d.(float64))
		}
		if data, ok := out["data"].([]any); ok && len(data) != n {
			t.Errorf("output %v of shape %v has %d elements", out["name"], out["shape"], len(data))
		}
		names = append(names, out["name"].(string))
		outputs = append(outputs, out)
	}
	return names, outputs
}

func restInference(t *testing.T, c restClient, s subject) {
	path := "/v2/models/" + s.model + "/infer"
	flat := numbers(s.input)
	first := c.object("POST", path, `{"id":"42","inputs":[`+inputObject(t, s.input, flat)+`]}`, 200)
	if first["id"] != "42" {
		t.Errorf("id %v", first["id"])
	}
	all := outputNames(t, s)
	names, outputs := outputsOf(t, s, first)
	if !slices.Equal(names, all) {
		t.Errorf("outputs %v, want all: %v", names, all)
	}
	for _, body := range []string{
		`{"inputs":[` + inputObject(t, s.input, nest(flat, s.input.Shape)) + `],"id":"42"}`,
		`{"id":"42","model_name":"other","parameters":{"unknown":1.5,"other":"x","more":true,"none":null},"outputs":[],"inputs":[` + inputObject(t, s.input, flat) + `]}`,
	} {
		for _, path := range []string{path, "/v2/models/" + s.model + "/versions/" + s.version + "/infer"} {
			if got := c.object("POST", path, body, 200); !reflect.DeepEqual(got, first) {
				t.Errorf("%s %.300s: differs from the first answer:\n%.500v", path, body, got)
			}
		}
	}
	// Requested outputs, and only they, in the order of the request.
	slices.Reverse(all)
	for n := 1; n <= len(all); n++ {
		var wanted []map[string]any
		for _, name := range all[:n] {
			wanted = append(wanted, map[string]any{"name": name})
		}
		text, err := json.Marshal(wanted)
		if err != nil {
			t.Fatal(err)
		}
		response := c.object("POST", path, `{"inputs":[`+inputObject(t, s.input, flat)+`],"outputs":`+string(text)+`}`, 200)
		if _, has := response["id"]; has {
			t.Errorf("id %v, and none was given", response["id"])
		}
		names, got := outputsOf(t, s, response)
		if !slices.Equal(names, all[:n]) {
			t.Errorf("outputs %v, want %v", names, all[:n])
		}
		for i, out := range got {
			if want := outputs[len(outputs)-1-i]; !reflect.DeepEqual(out, want) {
				t.Errorf("output %v differs from that among all", names[i])
			}
		}
	}
}

func restBinary(t *testing.T, c restClient, s subject) {
	path := "/v2/models/" + s.model + "/infer"
	input := func(size int) string {
		object := inputObject(t, s.input, nil)
		return strings.Replace(object, `"data":null`, fmt.Sprintf(`"parameters":{"binary_data_size":%d}`, size), 1)
	}
	post := func(object string, after []byte, length string) (*http.Response, []byte) {
		return c.do("POST", path, append([]byte(object), after...), "Content-Type", "application/octet-stream", headerLength, length)
	}
	size := len(s.input.Data)
	all := outputNames(t, s)
	last := all[len(all)-1]

	// A binary input and outputs in JSON are as with JSON both ways.
	want := c.object("POST", path, `{"inputs":[`+inputObject(t, s.input, numbers(s.input))+`]}`, 200)
	object := `{"inputs":[` + input(size) + `]}`
	response, answer := post(object, s.input.Data, strconv.Itoa(len(object)))
	var got map[string]any
	if err := json.Unmarshal(answer, &got); err != nil || response.Header.Get(headerLength) != "" || response.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%v: %v %s", err, response.Header, answer)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("binary input: %.500v", got)
	}

	// Binary outputs: all, all but one, one.
	for _, wants := range []struct {
		request string
		binary  func(name string) bool
	}{
		{`"parameters":{"binary_data_output":true}`, func(string) bool { return true }},
		{`"parameters":{"binary_data_output":false}`, func(string) bool { return false }},
		{`"parameters":{"binary_data_output":true},"outputs":[` + requested(all, last, false) + `]`, func(name string) bool { return name != last }},
		{`"outputs":[` + requested(all, last, true) + `]`, func(name string) bool { return name == last }},
	} {
		object := `{"id":"b",` + wants.request + `,"inputs":[` + input(size) + `]}`
		response, answer := post(object, s.input.Data, strconv.Itoa(len(object)))
		if response.StatusCode != 200 {
			t.Fatalf("%s: %d %s", object, response.StatusCode, answer)
		}
		length := len(answer)
		if slices.ContainsFunc(all, wants.binary) {
			var err error
			if length, err = strconv.Atoi(response.Header.Get(headerLength)); err != nil || length > len(answer) || response.Header.Get("Content-Type") != "application/octet-stream" {
				t.Fatalf("%s: %v", object, response.Header)
			}
		} else if response.Header.Get(headerLength) != "" {
			t.Errorf("%s: %v", object, response.Header)
		}
		var got map[string]any
		if err := json.Unmarshal(answer[:length], &got); err != nil {
			t.Fatalf("%v: %s", err, answer)
		}
		rest := answer[length:]
		names, outputs := outputsOf(t, s, got)
		if !slices.Equal(names, all) || got["id"] != "b" {
			t.Errorf("%s: outputs %v", object, names)
		}
		for i, out := range outputs {
			n, binary := 0.0, false
			if p, ok := out["parameters"].(map[string]any); ok {
				n, binary = p["binary_data_size"].(float64)
			}
			if _, has := out["data"]; binary == has || binary != wants.binary(names[i]) {
				t.Fatalf("%s: output %.200v", object, out)
			}
			if !binary {
				continue
			}
			tensor := tensorOf(t, out, rest[:int(n)])
			rest = rest[int(n):]
			text, err := appendData(nil, &tensor)
			if err != nil {
				t.Fatal(err)
			}
			var data []any
			if err := json.Unmarshal(text, &data); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(data, want["outputs"].([]any)[i].(map[string]any)["data"]) {
				t.Errorf("%s: output %s differs from that in JSON", object, names[i])
			}
		}
		if len(rest) != 0 {
			t.Errorf("%d bytes too many", len(rest))
		}
	}

	// Lengths that contradict each other.
	for _, bad := range []struct {
		object, length string
		after          []byte
		want           string
	}{
		{object, strconv.Itoa(len(object)), s.input.Data[1:], "bytes are left"},
		{object, strconv.Itoa(len(object)), append(slices.Clone(s.input.Data), 0), "belong to no input"},
		{object, "", s.input.Data, "no JSON object"},
		{object, "-1", s.input.Data, "of -1 bytes"},
		{object, "x", s.input.Data, "no number"},
		{object, strconv.Itoa(len(object) - 1), s.input.Data, "no JSON object"},
		{object, strconv.Itoa(len(object) + size + 1), s.input.Data, "in a body of"},
		{object, "99999999999999999999", s.input.Data, "in a body of"},
		{`{"inputs":[` + input(-1) + `]}`, "", nil, "is -1"},
		{`{"inputs":[` + input(1<<62) + `]}`, "", nil, "bytes are left"},
		{strings.Replace(object, strconv.Itoa(size), `"4"`, 1), "", nil, "whole number"},
		{strings.Replace(object, strconv.Itoa(size), `1.5`, 1), "", nil, "whole number"},
		{strings.Replace(object, `"parameters"`, `"data":[1],"parameters"`, 1), "", nil, "both"},
		{`{"parameters":{"binary_data_output":1},"inputs":[` + inputObject(t, s.input, numbers(s.input)) + `]}`, "", nil, "neither true nor false"},
		{`{"outputs":[{"name":"` + last + `","parameters":{"binary_data":"yes"}}],"inputs":[` + inputObject(t, s.input, numbers(s.input)) + `]}`, "", nil, "neither true nor false"},
	} {
		header := []string{}
		if bad.length != "" {
			header = append(header, headerLength, bad.length)
		}
		response, answer := c.do("POST", path, append([]byte(bad.object), bad.after...), header...)
		var object map[string]string
		if err := json.Unmarshal(answer, &object); err != nil || response.StatusCode != 400 || !strings.Contains(object["error"], bad.want) {
			t.Errorf("%.200s, length %q, %d bytes after it: %d %.300s; want %q", bad.object, bad.length, len(bad.after), response.StatusCode, answer, bad.want)
		}
	}
}

// requested asks for outputs, one of them with binary_data.
func requested(all []string, one string, binary bool) string {
	var objects []string
	for _, name := range all {
		if name == one {
			objects = append(objects, fmt.Sprintf(`{"name":%q,"parameters":{"binary_data":%v}}`, name, binary))
		} else {
			objects = append(objects, fmt.Sprintf(`{"name":%q}`, name))
		}
	}
	return strings.Join(objects, ",")
}

// tensorOf is an output with its binary data, checked against its shape.
func tensorOf(t *testing.T, out map[string]any, data []byte) Tensor {
	t.Helper()
	tensor := Tensor{Name: out["name"].(string), Datatype: Datatype(out["datatype"].(string)), Data: data}
	for _, d := range out["shape"].([]any) {
		tensor.Shape = append(tensor.Shape, int64(d.(float64)))
	}
	if err := tensor.check(); err != nil {
		t.Fatalf("output %q: %v", tensor.Name, err)
	}
	return tensor
}

func restErrors(t *testing.T, c restClient, s subject) {
	path := "/v2/models/" + s.model + "/infer"
	good := inputObject(t, s.input, numbers(s.input))
	for _, bad := range []struct{ body, want string }{
		{``, "no JSON object"},
		{`{`, "no JSON object"},
		{`[]`, "no JSON object"},
		{`{}`, "no inputs"},
		{`{"inputs":[]}`, "no inputs"},
		{`{"inputs":{}}`, "no JSON object"},
		{`{"id":7,"inputs":[` + good + `]}`, "no JSON object"},
		{`{"parameters":[],"inputs":[` + good + `]}`, "parameters"},
		{`{"parameters":{"x":{}},"inputs":[` + good + `]}`, `parameter "x"`},
		{`{"inputs":[` + good + `]} x`, "no JSON object"},
		{`{"inputs":[` + good + `,` + good + `]}`, "twice"},
		{`{"inputs":[` + good + `],"outputs":[{"name":"no such"}]}`, `no output "no such"`},
		{`{"inputs":[` + good + `],"outputs":[{"name":"a"},{"name":"a"}]}`, "asked for twice"},
		{`{"inputs":[` + strings.Replace(good, `"shape":[`, `"shape":[2,`, 1) + `]}`, "elements"},
		{`{"inputs":[` + strings.Replace(good, `"shape":[`, `"shape":[-1,`, 1) + `]}`, "negative"},
		{`{"inputs":[` + strings.Replace(good, `"shape":[`, `"shape":[1.5,`, 1) + `]}`, "no JSON object"},
		{`{"inputs":[` + strings.Replace(good, `"datatype":"`, `"datatype":"x`, 1) + `]}`, "none of the protocol"},
		{`{"inputs":[` + strings.Replace(good, `"data":[`, `"data":[-1,`, 1) + `]}`, "element -1"},
		{`{"inputs":[` + strings.Replace(good, `"data"`, `"date"`, 1) + `]}`, "neither data nor parameter binary_data_size"},
	} {
		c.refused("POST", path, bad.body, 400, bad.want)
	}
	c.refused("POST", "/v2/models/nobody/infer", `{"inputs":[`+good+`]}`, 404, "nobody")
	c.refused("POST", "/v2/models/"+s.model+"/versions/99/infer", `{"inputs":[`+good+`]}`, 404, "99")
	c.refused("GET", path, "", 405, "POST")
	c.refused("POST", "/v2/health/live", "", 405, "GET")
	c.refused("GET", "/v2/nothing", "", 404, "no endpoint")
	c.refused("GET", "/v2/models/..%2f..%2fetc%2fpasswd", "", 404, "passwd")
	response, _ := c.do("HEAD", "/v2/health/live", nil)
	if response.StatusCode != 200 {
		t.Errorf("HEAD: %d", response.StatusCode)
	}
}

// TestRESTEveryType sends tensors of every data type together, as JSON and as binary data.
func TestRESTEveryType(t *testing.T) {
	c := newRESTClient(t, echo{}, Options{})
	var objects, binaries []string
	var after []byte
	var tensors []Tensor
	for text, tensor := range everyType() {
		tensor.Name, tensor.Shape = string(tensor.Datatype), []int64{3}
		tensors = append(tensors, tensor)
		objects = append(objects, fmt.Sprintf(`{"name":%q,"datatype":%q,"shape":[3],"data":[%s]}`, tensor.Name, tensor.Datatype, text))
	}
	tensors = append(tensors, Tensor{Name: "FP16", Datatype: FP16, Shape: []int64{3}, Data: []byte("abcdef")}, Tensor{Name: "BF16", Datatype: BF16, Shape: []int64{3}, Data: []byte("abcdef")})
	for _, tensor := range tensors {
		binaries = append(binaries, fmt.Sprintf(`{"name":%q,"datatype":%q,"shape":[3],"parameters":{"binary_data_size":%d}}`, tensor.Name, tensor.Datatype, len(tensor.Data)))
		after = append(after, tensor.Data...)
	}
	for _, request := range []string{
		`{"parameters":{"binary_data_output":true},"inputs":[` + strings.Join(objects, ",") + `]}`,
		`{"parameters":{"binary_data_output":true},"inputs":[` + strings.Join(binaries, ",") + `]}`,
	} {
		data := after
		if strings.Contains(request, `"data":`) {
			data = nil
		}
		response, answer := c.do("POST", "/v2/models/echo/infer", append([]byte(request), data...), headerLength, strconv.Itoa(len(request)))
		length, err := strconv.Atoi(response.Header.Get(headerLength))
		if err != nil {
			t.Fatalf("%v %s", response.Header, answer)
		}
		var got struct{ Outputs []map[string]any }
		if err := json.Unmarshal(answer[:length], &got); err != nil {
			t.Fatal(err)
		}
		rest := answer[length:]
		for i, out := range got.Outputs {
			n := len(tensors[i].Data)
			if tensor := tensorOf(t, out, rest[:n]); tensor.Name != tensors[i].Name || !bytes.Equal(tensor.Data, tensors[i].Data) {
				t.Errorf("%+v, want %+v", tensor, tensors[i])
			}
			rest = rest[n:]
		}
		if len(rest) > 0 || len(got.Outputs) < len(objects) {
			t.Errorf("%d outputs, %d bytes too many", len(got.Outputs), len(rest))
		}
	}
}

// TestRESTFailures looks at how errors of the models are told.
func TestRESTFailures(t *testing.T) {
	var log bytes.Buffer
	c := newRESTClient(t, echo{}, Options{MaxRequestBytes: 1000, Log: slog.New(slog.NewTextHandler(&log, nil))})
	body := `{"inputs":[{"name":"x","datatype":"UINT8","shape":[1],"data":[1]}]}`
	c.refused("POST", "/v2/models/busy/infer", body, 429, "1.5s")
	if response, _ := c.do("POST", "/v2/models/busy/infer", []byte(body)); response.Header.Get("Retry-After") != "2" {
		t.Errorf("Retry-After %q", response.Header.Get("Retry-After"))
	}
	c.refused("POST", "/v2/models/away/infer", body, 503, "file is gone")
	c.refused("POST", "/v2/models/large/infer", body, 413, "too large")
	if log.Len() > 0 {
		t.Errorf("logged: %s", &log)
	}
	c.refused("POST", "/v2/models/broken/infer", body, 500, "its log tells why")
	if !strings.Contains(log.String(), "/secret/path is broken") {
		t.Errorf("logged: %s", &log)
	}
	if got := c.object("GET", "/v2/models/away/ready", "", 503); got["ready"] != false || got["error"] != "its file is gone" {
		t.Errorf("ready: %v", got)
	}
	// Too long, with its length told before and not.
	long := []byte(strings.Repeat(" ", 1001))
	c.refused("POST", "/v2/models/echo/infer", string(long), 413, "1001 bytes")
	request, err := http.NewRequest("POST", c.url+"/v2/models/echo/infer", io.MultiReader(bytes.NewReader(long)))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 413 {
		t.Errorf("a chunked body: %d", response.StatusCode)
	}
	if response, _ := c.do("POST", "/v2/models/echo/infer", []byte(body), "Content-Encoding", "gzip"); response.StatusCode != 415 {
		t.Errorf("Content-Encoding: %d", response.StatusCode)
	}
}

// TestRESTParts refuses requests of many parts, which take many times their size.
func TestRESTParts(t *testing.T) {
	c := newRESTClient(t, echo{}, Options{})
	many := func(part string) string { return strings.TrimSuffix(strings.Repeat(part+",", maxParts+1), ",") }
	var parameters strings.Builder
	for i := range maxParts + 1 {
		fmt.Fprintf(&parameters, `,"p%d":null`, i)
	}
	for _, body := range []string{
		`{"inputs":[` + many(`{}`) + `]}`,
		`{"inputs":[{"name":"x","datatype":"UINT8","shape":[` + many(`1`) + `],"data":[1]}]}`,
		`{"inputs":[{"name":"x","datatype":"UINT8","shape":[1],"data":[1]}],"outputs":[` + many(`{"name":"x"}`) + `]}`,
		`{"inputs":[{"name":"x","datatype":"UINT8","shape":[1],"data":[1]}],"parameters":{` + parameters.String()[1:] + `}}`,
	} {
		c.refused("POST", "/v2/models/echo/infer", body, 400, "at most 64 are taken")
	}
}

func TestParts(t *testing.T) {
	for text, want := range map[string]int{
		`[]`: 0, " [\n] ": 0, `{}`: 0, `[1]`: 1, `[[]]`: 1, `["],[\\\"", 2]`: 2, `[[1,2],[3],{"a":[4,5]}]`: 3, `{"a,b":1,"c":{"d":2,"e":3}}`: 2, `null`: 1,
	} {
		if !json.Valid([]byte(text)) {
			t.Fatal(text)
		}
		if got := parts([]byte(text)); got != want {
			t.Errorf("parts(%s) = %d, want %d", text, got, want)
		}
	}
}

func TestRESTIndex(t *testing.T) {
	c := newRESTClient(t, echo{}, Options{})
	for body, want := range map[string]string{
		``:               `[{"name":"away","state":"UNAVAILABLE","reason":"its file is gone"},{"name":"echo","version":"3","state":"READY","reason":""}]`,
		`{}`:             `[{"name":"away","state":"UNAVAILABLE","reason":"its file is gone"},{"name":"echo","version":"3","state":"READY","reason":""}]`,
		`{"ready":true}`: `[{"name":"echo","version":"3","state":"READY","reason":""}]`,
	} {
		response, answer := c.do("POST", "/v2/repository/index", []byte(body))
		if response.StatusCode != 200 || string(answer) != want {
			t.Errorf("%s: %d %s", body, response.StatusCode, answer)
		}
	}
	c.refused("POST", "/v2/repository/index", `{"ready":1}`, 400, "no JSON object")
}

// TestDetectorTensors sends the same pictures in every form and compares with what the
// detector says itself.
func TestDetectorTensors(t *testing.T) {
	d := realDetector(t)
	pictures := noisePictures(2, 24, 40)
	const width, height = 40, 24
	var scores, thresholds []float64
	var anomalous []bool
	var maps []float32
	var regions []string
	var files [][]byte
	for _, p := range pictures {
		i, err := d.InspectRGB(p)
		if err != nil {
			t.Fatal(err)
		}
		scores = append(scores, i.Score)
		anomalous = append(anomalous, i.Anomalous)
		thresholds = []float64{i.Threshold}
		maps = append(maps, i.Map(width, height)...)
		found, _ := i.Regions()
		text, err := json.Marshal(found)
		if err != nil {
			t.Fatal(err)
		}
		regions = append(regions, string(text))
		files = append(files, encodePNG(t, p))
	}
	if anomalous[0] == anomalous[1] || regions[0] == regions[1] {
		t.Fatalf("the pictures do not differ: %v %v", anomalous, regions)
	}
	c := newRESTClient(t, NewModels(screws{d}, Limits{}), Options{})
	var raw []byte
	for _, file := range files {
		raw = appendElement(raw, file)
	}
	pixels := noiseTensor(2, height, width)
	texts := []string{base64.StdEncoding.EncodeToString(files[0]), base64.StdEncoding.EncodeToString(files[1])}
	for name, request := range map[string]struct {
		input string
		after []byte
	}{
		"pixels":         {input: inputObject(t, pixels, numbers(pixels))},
		"pixels, binary": {`{"name":"image","datatype":"UINT8","shape":[2,24,40,3],"parameters":{"binary_data_size":5760}}`, pixels.Data},
		"files":          {input: inputObject(t, Tensor{Name: InputImage, Datatype: Bytes, Shape: []int64{2}}, texts)},
		"files, binary":  {fmt.Sprintf(`{"name":"image","datatype":"BYTES","shape":[2],"parameters":{"binary_data_size":%d}}`, len(raw)), raw},
	} {
		object := `{"inputs":[` + request.input + `]}`
		response, answer := c.do("POST", "/v2/models/screw/infer", append([]byte(object), request.after...), headerLength, strconv.Itoa(len(object)))
		var got struct {
			Parameters struct{ Digest string }
			Outputs    []struct {
				Name, Datatype string
				Shape          []int
				Data           json.RawMessage
			}
		}
		if err := json.Unmarshal(answer, &got); err != nil || response.StatusCode != 200 {
			t.Fatalf("%s: %v %s", name, err, answer)
		}
		if got.Parameters.Digest != screwsDigest {
			t.Errorf("%s: digest %q", name, got.Parameters.Digest)
		}
		for i, want := range []struct {
			name, datatype string
			shape          []int
			data           any
		}{
			{"score", "FP64", []int{2}, &scores},
			{"threshold", "FP64", []int{1}, &thresholds},
			{"anomalous", "BOOL", []int{2}, &anomalous},
			{"anomaly_map", "FP32", []int{2, height, width}, &maps},
			{"regions", "BYTES", []int{2}, &regions},
		} {
			out := got.Outputs[i]
			data := reflect.New(reflect.TypeOf(want.data).Elem()).Interface()
			if err := json.Unmarshal(out.Data, data); err != nil {
				t.Fatal(err)
			}
			if out.Name != want.name || out.Datatype != want.datatype || !slices.Equal(out.Shape, want.shape) || !reflect.DeepEqual(data, want.data) {
				t.Errorf("%s: output %s %s %v differs from what the detector says", name, out.Name, out.Datatype, out.Shape)
			}
		}
	}
}
