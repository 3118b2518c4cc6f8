package oip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "github.com/destseg/destseg/serve/oip/inferencepb"
)

// startGRPC serves the protocol on a port of this machine until stop is called, which
// returns what Serve did, and returns a connection to it.
func startGRPC(t *testing.T, m Models, o GRPCOptions, grace time.Duration) (connection *grpc.ClientConn, stop func() error) {
	t.Helper()
	return serveGRPC(t, NewGRPCServer(m, o), grace)
}

// serveGRPC is startGRPC for a server that the test has.
func serveGRPC(t *testing.T, s *GRPCServer, grace time.Duration) (connection *grpc.ClientConn, stop func() error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l, grace) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-served
	})
	connection, err = grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		connection.Close()
		stop()
	})
	return connection, stop
}

// refused checks the code and text of an error.
func refused(t *testing.T, what string, err error, code codes.Code, want string) {
	t.Helper()
	if status := grpcstatus.Convert(err); status.Code() != code || !strings.Contains(status.Message(), want) {
		t.Errorf("%s: %v; want %v, %q", what, err, code, want)
	}
}

// TestDefinition compares names, numbers and types of the fields with those of the
// protocol's text, inference_grpc.md.
func TestDefinition(t *testing.T) {
	want := map[string]string{
		"ServerLiveRequest":                            "",
		"ServerLiveResponse":                           "live=1 bool",
		"ServerReadyRequest":                           "",
		"ServerReadyResponse":                          "ready=1 bool",
		"ModelReadyRequest":                            "name=1 string, version=2 string",
		"ModelReadyResponse":                           "ready=1 bool",
		"ServerMetadataRequest":                        "",
		"ServerMetadataResponse":                       "name=1 string, version=2 string, extensions=3 repeated string",
		"ModelMetadataRequest":                         "name=1 string, version=2 string",
		"ModelMetadataResponse":                        "name=1 string, versions=2 repeated string, platform=3 string, inputs=4 repeated TensorMetadata, outputs=5 repeated TensorMetadata",
		"ModelMetadataResponse.TensorMetadata":         "name=1 string, datatype=2 string, shape=3 repeated int64",
		"ModelInferRequest":                            "model_name=1 string, model_version=2 string, id=3 string, parameters=4 map InferParameter, inputs=5 repeated InferInputTensor, outputs=6 repeated InferRequestedOutputTensor, raw_input_contents=7 repeated bytes",
		"ModelInferRequest.InferInputTensor":           "name=1 string, datatype=2 string, shape=3 repeated int64, parameters=4 map InferParameter, contents=5 InferTensorContents",
		"ModelInferRequest.InferRequestedOutputTensor": "name=1 string, parameters=2 map InferParameter",
		"ModelInferResponse":                           "model_name=1 string, model_version=2 string, id=3 string, parameters=4 map InferParameter, outputs=5 repeated InferOutputTensor, raw_output_contents=6 repeated bytes",
		"ModelInferResponse.InferOutputTensor":         "name=1 string, datatype=2 string, shape=3 repeated int64, parameters=4 map InferParameter, contents=5 InferTensorContents",
		"InferParameter":                               "bool_param=1 bool, int64_param=2 int64, string_param=3 string, double_param=4 double, uint64_param=5 uint64",
		"InferTensorContents":                          "bool_contents=1 repeated bool, int_contents=2 repeated int32, int64_contents=3 repeated int64, uint_contents=4 repeated uint32, uint64_contents=5 repeated uint64, fp32_contents=6 repeated float, fp64_contents=7 repeated double, bytes_contents=8 repeated bytes",
		"RepositoryIndexRequest":                       "repository_name=1 string, ready=2 bool",
		"RepositoryIndexResponse":                      "models=1 repeated ModelIndex",
		"RepositoryIndexResponse.ModelIndex":           "name=1 string, version=2 string, state=3 string, reason=4 string",
	}
	got := map[string]string{}
	var walk func(messages protoreflect.MessageDescriptors)
	walk = func(messages protoreflect.MessageDescriptors) {
		for i := range messages.Len() {
			m := messages.Get(i)
			if m.IsMapEntry() {
				continue
			}
			var fields []string
			for k := range m.Fields().Len() {
				f := m.Fields().Get(k)
				text := fmt.Sprintf("%s=%d ", f.Name(), f.Number())
				kind, value := "", f
				switch {
				case f.IsMap():
					kind, value = "map ", f.MapValue()
				case f.IsList():
					kind = "repeated "
				}
				if value.Message() != nil {
					kind += string(value.Message().Name())
				} else {
					kind += value.Kind().String()
				}
				fields = append(fields, text+kind)
			}
			got[strings.TrimPrefix(string(m.FullName()), "inference.")] = strings.Join(fields, ", ")
			walk(m.Messages())
		}
	}
	walk(pb.File_inference_proto.Messages())
	for name, fields := range want {
		if got[name] != fields {
			t.Errorf("message %s: %s\nwant %s", name, got[name], fields)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d messages, want %d", len(got), len(want))
	}
	service := pb.File_inference_proto.Services().Get(0)
	if service.FullName() != "inference.GRPCInferenceService" || !slices.EqualFunc(pb.GRPCInferenceService_ServiceDesc.Methods,
		[]string{"ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer", "RepositoryIndex"},
		func(m grpc.MethodDesc, name string) bool { return m.MethodName == name }) {
		t.Errorf("service %s, %v", service.FullName(), pb.GRPCInferenceService_ServiceDesc.Methods)
	}
}

func TestGRPCConformance(t *testing.T) {
	for name, s := range subjects(t) {
		t.Run(name, func(t *testing.T) {
			connection, _ := startGRPC(t, s.models, GRPCOptions{Options: Options{Name: "destseg", Version: "v1.2"}}, time.Minute)
			client := pb.NewGRPCInferenceServiceClient(connection)
			grpcHealth(t, client, s)
			grpcMetadata(t, client, s)
			grpcInference(t, client, s)
			grpcErrors(t, client, s)
		})
	}
}

func grpcHealth(t *testing.T, client pb.GRPCInferenceServiceClient, s subject) {
	if live, err := client.ServerLive(t.Context(), &pb.ServerLiveRequest{}); err != nil || !live.Live {
		t.Errorf("live: %v, %v", live, err)
	}
	if ready, err := client.ServerReady(t.Context(), &pb.ServerReadyRequest{}); err != nil || ready.Ready != (s.models.Ready(t.Context()) == nil) {
		t.Errorf("ready: %v, %v", ready, err)
	}
	for _, version := range []string{"", s.version} {
		if ready, err := client.ModelReady(t.Context(), &pb.ModelReadyRequest{Name: s.model, Version: version}); err != nil || !ready.Ready {
			t.Errorf("model ready: %v, %v", ready, err)
		}
	}
	_, err := client.ModelReady(t.Context(), &pb.ModelReadyRequest{Name: "nobody"})
	refused(t, "unknown model", err, codes.NotFound, "nobody")
	_, err = client.ModelReady(t.Context(), &pb.ModelReadyRequest{Name: s.model, Version: "99"})
	refused(t, "unknown version", err, codes.NotFound, "99")
}

func grpcMetadata(t *testing.T, client pb.GRPCInferenceServiceClient, s subject) {
	server, err := client.ServerMetadata(t.Context(), &pb.ServerMetadataRequest{})
	if err != nil || server.Name != "destseg" || server.Version != "v1.2" || !slices.Equal(server.Extensions, []string{"binary_tensor_data"}) {
		t.Errorf("server: %v, %v", server, err)
	}
	want, err := s.models.Metadata(t.Context(), s.model, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"", s.version} {
		got, err := client.ModelMetadata(t.Context(), &pb.ModelMetadataRequest{Name: s.model, Version: version})
		if err != nil || got.Name != s.model || got.Platform != want.Platform || !slices.Equal(got.Versions, want.Versions) {
			t.Fatalf("model: %v, %v", got, err)
		}
		same := func(got *pb.ModelMetadataResponse_TensorMetadata, want TensorMetadata) bool {
			return got.Name == want.Name && got.Datatype == string(want.Datatype) && slices.Equal(got.Shape, want.Shape)
		}
		if !slices.EqualFunc(got.Inputs, want.Inputs, same) || !slices.EqualFunc(got.Outputs, want.Outputs, same) {
			t.Errorf("tensors: %v", got)
		}
	}
	_, err = client.ModelMetadata(t.Context(), &pb.ModelMetadataRequest{Name: "nobody"})
	refused(t, "unknown model", err, codes.NotFound, "nobody")
}

// inferRequests returns the subject's input raw and typed.
func inferRequests(t *testing.T, s subject) (raw, typed *pb.ModelInferRequest) {
	t.Helper()
	request := func() *pb.ModelInferRequest {
		return &pb.ModelInferRequest{
			ModelName: s.model, Id: "42",
			Parameters: map[string]*pb.InferParameter{"unknown": {ParameterChoice: &pb.InferParameter_DoubleParam{DoubleParam: 1}}, "empty": {}},
			Inputs:     []*pb.ModelInferRequest_InferInputTensor{{Name: s.input.Name, Datatype: string(s.input.Datatype), Shape: s.input.Shape}},
		}
	}
	raw, typed = request(), request()
	raw.RawInputContents = [][]byte{s.input.Data}
	typed.Inputs[0].Contents = &pb.InferTensorContents{}
	for _, v := range numbers(s.input) {
		typed.Inputs[0].Contents.UintContents = append(typed.Inputs[0].Contents.UintContents, uint32(v.(int)))
	}
	return raw, typed
}

// tensorsOf returns the outputs of a response, which must be raw or typed as told, and sound.
func tensorsOf(t *testing.T, r *pb.ModelInferResponse, raw bool) (tensors []Tensor) {
	t.Helper()
	if raw && len(r.RawOutputContents) != len(r.Outputs) || !raw && len(r.RawOutputContents) > 0 {
		t.Fatalf("%d raw outputs of %d", len(r.RawOutputContents), len(r.Outputs))
	}
	for i, out := range r.Outputs {
		tensor := Tensor{Name: out.Name, Datatype: Datatype(out.Datatype), Shape: out.Shape}
		switch {
		case raw && out.Contents != nil:
			t.Errorf("output %q has contents, too", out.Name)
		case raw:
			tensor.Data = r.RawOutputContents[i]
		default:
			var err error
			if tensor.Data, err = contentsData(tensor.Datatype, out.Contents); err != nil {
				t.Fatal(err)
			}
		}
		if err := tensor.check(); err != nil {
			t.Errorf("output %q: %v", out.Name, err)
		}
		tensors = append(tensors, tensor)
	}
	return tensors
}

func grpcInference(t *testing.T, client pb.GRPCInferenceServiceClient, s subject) {
	raw, typed := inferRequests(t, s)
	sameTensor := func(a, b Tensor) bool {
		return a.Name == b.Name && a.Datatype == b.Datatype && slices.Equal(a.Shape, b.Shape) && bytes.Equal(a.Data, b.Data)
	}
	all := outputNames(t, s)
	var first []Tensor
	for _, request := range []*pb.ModelInferRequest{raw, typed} {
		for _, version := range []string{"", s.version} {
			request.ModelVersion = version
			got, err := client.ModelInfer(t.Context(), request)
			if err != nil {
				t.Fatal(err)
			}
			if got.ModelName != s.model || got.ModelVersion != s.version || got.Id != "42" {
				t.Errorf("%s, %s, %s", got.ModelName, got.ModelVersion, got.Id)
			}
			tensors := tensorsOf(t, got, request == raw)
			if first == nil {
				first = tensors
			}
			if !slices.EqualFunc(tensors, first, sameTensor) {
				t.Error("raw and typed differ")
			}
			if !slices.EqualFunc(tensors, all, func(t Tensor, name string) bool { return t.Name == name }) {
				t.Errorf("outputs %v", got.Outputs)
			}
		}
	}
	slices.Reverse(all)
	for n := 1; n <= len(all); n++ {
		raw.Outputs = nil
		for _, name := range all[:n] {
			raw.Outputs = append(raw.Outputs, &pb.ModelInferRequest_InferRequestedOutputTensor{Name: name})
		}
		got, err := client.ModelInfer(t.Context(), raw)
		if err != nil {
			t.Fatal(err)
		}
		want := slices.Clone(first[len(first)-n:])
		slices.Reverse(want)
		if !slices.EqualFunc(tensorsOf(t, got, true), want, sameTensor) {
			t.Errorf("outputs %v", got.Outputs)
		}
	}
}

func grpcErrors(t *testing.T, client pb.GRPCInferenceServiceClient, s subject) {
	for _, bad := range []struct {
		name   string
		change func(raw, typed *pb.ModelInferRequest) *pb.ModelInferRequest
		code   codes.Code
		want   string
	}{
		{"no model", func(raw, _ *pb.ModelInferRequest) *pb.ModelInferRequest { raw.ModelName = "nobody"; return raw }, codes.NotFound, "nobody"},
		{"no version", func(raw, _ *pb.ModelInferRequest) *pb.ModelInferRequest { raw.ModelVersion = "99"; return raw }, codes.NotFound, "99"},
		{"no inputs", func(*pb.ModelInferRequest, *pb.ModelInferRequest) *pb.ModelInferRequest {
			return &pb.ModelInferRequest{ModelName: s.model}
		}, codes.InvalidArgument, "no inputs"},
		{"no contents", func(raw, _ *pb.ModelInferRequest) *pb.ModelInferRequest { raw.RawInputContents = nil; return raw }, codes.InvalidArgument, "more elements than the data"},
		{"raw and typed", func(raw, typed *pb.ModelInferRequest) *pb.ModelInferRequest {
			typed.RawInputContents = raw.RawInputContents
			return typed
		}, codes.InvalidArgument, "beside raw_input_contents"},
		{"two raw", func(raw, _ *pb.ModelInferRequest) *pb.ModelInferRequest {
			raw.RawInputContents = append(raw.RawInputContents, nil)
			return raw
		}, codes.InvalidArgument, "2 raw_input_contents for 1 inputs"},
		{"short", func(raw, _ *pb.ModelInferRequest) *pb.ModelInferRequest {
			raw.RawInputContents[0] = raw.RawInputContents[0][1:]
			return raw
		}, codes.InvalidArgument, "elements"},
		{"long", func(raw, _ *pb.ModelInferRequest) *pb.ModelInferRequest {
			raw.RawInputContents[0] = append(slices.Clone(raw.RawInputContents[0]), 0)
			return raw
		}, codes.InvalidArgument, "the data have"},
		{"too few", func(_, typed *pb.ModelInferRequest) *pb.ModelInferRequest {
			typed.Inputs[0].Contents.UintContents = typed.Inputs[0].Contents.UintContents[1:]
			return typed
		}, codes.InvalidArgument, "elements"},
		{"another field", func(_, typed *pb.ModelInferRequest) *pb.ModelInferRequest {
			typed.Inputs[0].Contents = &pb.InferTensorContents{Fp32Contents: []float32{1}}
			return typed
		}, codes.InvalidArgument, "a field that"},
		{"no type", func(raw, _ *pb.ModelInferRequest) *pb.ModelInferRequest { raw.Inputs[0].Datatype = "u8"; return raw }, codes.InvalidArgument, "none of the protocol"},
		{"no output", func(raw, _ *pb.ModelInferRequest) *pb.ModelInferRequest {
			raw.Outputs = []*pb.ModelInferRequest_InferRequestedOutputTensor{{Name: "label"}}
			return raw
		}, codes.InvalidArgument, `no output "label"`},
	} {
		request := bad.change(inferRequests(t, s))
		_, err := client.ModelInfer(t.Context(), request)
		refused(t, bad.name, err, bad.code, bad.want)
	}
}

// TestContents takes tensors of every data type to typed contents and back.
func TestContents(t *testing.T) {
	for _, want := range everyType() {
		c := dataContents(&want)
		data, err := contentsData(want.Datatype, c)
		if err != nil || !bytes.Equal(data, want.Data) {
			t.Errorf("%s: %v, %v; want %v", want.Datatype, data, err, want.Data)
		}
	}
	for _, bad := range []struct {
		datatype Datatype
		contents *pb.InferTensorContents
	}{
		{Uint8, &pb.InferTensorContents{UintContents: []uint32{256}}},
		{Uint16, &pb.InferTensorContents{UintContents: []uint32{1 << 16}}},
		{Int8, &pb.InferTensorContents{IntContents: []int32{128}}},
		{Int8, &pb.InferTensorContents{IntContents: []int32{-129}}},
		{Int16, &pb.InferTensorContents{IntContents: []int32{1 << 15}}},
		{FP16, &pb.InferTensorContents{Fp32Contents: []float32{1}}},
		{FP32, &pb.InferTensorContents{Fp32Contents: []float32{1}, Fp64Contents: []float64{1}}},
	} {
		if data, err := contentsData(bad.datatype, bad.contents); err == nil {
			t.Errorf("%s of %v: %v", bad.datatype, bad.contents, data)
		}
	}
	raw := responseOf(&Response{Outputs: []Tensor{{Datatype: Bool, Data: []byte{1}}, {Datatype: FP16, Data: []byte{1, 2}}}}, "", false)
	if len(raw.RawOutputContents) != 2 {
		t.Errorf("FP16 and typed contents: %v", raw)
	}
	p := Parameters{"b": true, "i": int64(-1), "s": "x", "d": 0.5, "u": uint64(1)}
	if got := parametersOf(messagesOf(p)); fmt.Sprint(got) != fmt.Sprint(p) {
		t.Errorf("parameters %v, want %v", got, p)
	}
}

// FuzzMessage reads requests as they come over gRPC, and takes what it read back.
func FuzzMessage(f *testing.F) {
	for _, tensor := range everyType() {
		in := &pb.ModelInferRequest_InferInputTensor{Name: "x", Datatype: string(tensor.Datatype), Shape: []int64{3}}
		raw := &pb.ModelInferRequest{Inputs: []*pb.ModelInferRequest_InferInputTensor{in}, RawInputContents: [][]byte{tensor.Data}}
		typed := proto.Clone(raw).(*pb.ModelInferRequest)
		typed.RawInputContents, typed.Inputs[0].Contents = nil, dataContents(&tensor)
		for _, m := range []proto.Message{raw, typed} {
			message, err := proto.Marshal(m)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(message)
		}
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		var m pb.ModelInferRequest
		if proto.Unmarshal(message, &m) != nil {
			return
		}
		r, err := requestOf(&m)
		if err != nil {
			return
		}
		back := responseOf(&Response{Outputs: r.Inputs}, r.ID, len(m.RawInputContents) > 0)
		for i, tensor := range tensorsOf(t, back, len(back.RawOutputContents) > 0) {
			if !bytes.Equal(tensor.Data, r.Inputs[i].Data) {
				t.Fatalf("%+v became %+v", r.Inputs[i], tensor)
			}
		}
	})
}

// TestGRPCFailures looks at how errors of the models are told, and at what bounds a request.
func TestGRPCFailures(t *testing.T) {
	var log bytes.Buffer
	connection, _ := startGRPC(t, echo{}, GRPCOptions{
		Options: Options{MaxRequestBytes: 1000, Log: slog.New(slog.NewTextHandler(&log, nil))}, Timeout: 50 * time.Millisecond,
	}, time.Minute)
	client := pb.NewGRPCInferenceServiceClient(connection)
	infer := func(model string, size int) error {
		_, err := client.ModelInfer(t.Context(), &pb.ModelInferRequest{
			ModelName: model, Inputs: []*pb.ModelInferRequest_InferInputTensor{{Name: "x", Datatype: "UINT8", Shape: []int64{int64(size)}}},
			RawInputContents: [][]byte{make([]byte, size)},
		})
		return err
	}
	busy := infer("busy", 1)
	refused(t, "busy", busy, codes.ResourceExhausted, "1.5s")
	details := grpcstatus.Convert(busy).Details()
	if len(details) != 1 || details[0].(*errdetails.RetryInfo).RetryDelay.AsDuration() != 1500*time.Millisecond {
		t.Errorf("details: %v", details)
	}
	refused(t, "away", infer("away", 1), codes.Unavailable, "its file is gone")
	refused(t, "large", infer("large", 1), codes.InvalidArgument, "too large")
	refused(t, "slow", infer("slow", 1), codes.DeadlineExceeded, "")
	refused(t, "long", infer("echo", 1000), codes.ResourceExhausted, "larger than max")
	if log.Len() > 0 {
		t.Errorf("logged: %s", &log)
	}
	refused(t, "broken", infer("broken", 1), codes.Internal, "its log tells why")
	refused(t, "panics", infer("panics", 1), codes.Internal, "its log tells why")
	for _, want := range []string{"/secret/path is broken", "on purpose"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%q is not in the log: %s", want, &log)
		}
	}
	if ready, err := client.ModelReady(t.Context(), &pb.ModelReadyRequest{Name: "away"}); err != nil || ready.Ready {
		t.Errorf("ready: %v, %v", ready, err)
	}
	index, err := client.RepositoryIndex(t.Context(), &pb.RepositoryIndexRequest{})
	want := &pb.RepositoryIndexResponse{Models: []*pb.RepositoryIndexResponse_ModelIndex{
		{Name: "away", State: "UNAVAILABLE", Reason: "its file is gone"}, {Name: "echo", Version: "3", State: "READY"},
	}}
	if err != nil || !proto.Equal(index, want) {
		t.Errorf("index: %v, %v", index, err)
	}
	if index, err = client.RepositoryIndex(t.Context(), &pb.RepositoryIndexRequest{Ready: true}); err != nil || len(index.Models) != 1 {
		t.Errorf("index of those that are ready: %v, %v", index, err)
	}
}

// TestGRPCAuthorization lets probes in without a token, and nobody else.
func TestGRPCAuthorization(t *testing.T) {
	var mu sync.Mutex
	observed := map[string]int{}
	connection, stop := startGRPC(t, echo{}, GRPCOptions{
		Authorize: func(_ context.Context, authorization string) error {
			if authorization != "Bearer right" {
				return errors.New("no token that is known")
			}
			return nil
		},
		Observe: func(_ context.Context, method, code string, _ time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			observed[method+" "+code]++
		},
	}, time.Minute)
	client := pb.NewGRPCInferenceServiceClient(connection)
	for _, c := range []struct {
		authorization string
		code          codes.Code
	}{{"", codes.Unauthenticated}, {"Bearer wrong", codes.Unauthenticated}, {"Bearer right", codes.OK}} {
		ctx := t.Context()
		if c.authorization != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", c.authorization)
		}
		_, err := client.ServerMetadata(ctx, &pb.ServerMetadataRequest{})
		if grpcstatus.Code(err) != c.code {
			t.Errorf("%q: %v, want %v", c.authorization, err, c.code)
		}
		reflection, err := connection.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
		if err != nil {
			t.Fatal(err)
		}
		if err := reflection.CloseSend(); err != nil {
			t.Fatal(err)
		}
		err = reflection.RecvMsg(&healthpb.HealthCheckResponse{})
		if c.code == codes.OK && !errors.Is(err, io.EOF) || c.code != codes.OK && grpcstatus.Code(err) != c.code {
			t.Errorf("%q: reflection: %v, want %v", c.authorization, err, c.code)
		}
	}
	if _, err := client.ServerLive(t.Context(), &pb.ServerLiveRequest{}); err != nil {
		t.Error(err)
	}
	if health, err := healthpb.NewHealthClient(connection).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil || health.Status != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("health: %v, %v", health, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	want := map[string]int{"ServerMetadata Unauthenticated": 2, "ServerMetadata OK": 1, "other Unauthenticated": 2, "ServerLive OK": 1, "other OK": 2}
	if !maps.Equal(observed, want) {
		t.Errorf("observed %v, want %v", observed, want)
	}
}

// TestGRPCStop finishes what was accepted, and breaks off what takes longer than the grace.
func TestGRPCStop(t *testing.T) {
	for _, patient := range []bool{true, false} {
		started, end := make(chan struct{}), make(chan struct{})
		grace := time.Minute
		if !patient {
			grace = 20 * time.Millisecond
		}
		connection, stop := startGRPC(t, gate{started: started, end: end}, GRPCOptions{}, grace)
		answered := make(chan error, 1)
		go func() {
			_, err := pb.NewGRPCInferenceServiceClient(connection).ModelMetadata(t.Context(), &pb.ModelMetadataRequest{Name: "echo"})
			answered <- err
		}()
		<-started
		if patient {
			time.AfterFunc(20*time.Millisecond, func() { close(end) })
		}
		err := stop()
		if got := <-answered; (got == nil) != patient || (err == nil) != patient {
			t.Errorf("patient %v: the request ended with %v, Serve with %v", patient, got, err)
		}
	}
}

// TestGRPCStopAtOnce has nothing to break off.
func TestGRPCStopAtOnce(t *testing.T) {
	connection, stop := startGRPC(t, echo{}, GRPCOptions{}, 0)
	if _, err := pb.NewGRPCInferenceServiceClient(connection).ServerMetadata(t.Context(), &pb.ServerMetadataRequest{}); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestGRPCParts refuses messages of many parts, which take many times their size.
func TestGRPCParts(t *testing.T) {
	connection, _ := startGRPC(t, echo{}, GRPCOptions{}, time.Minute)
	client := pb.NewGRPCInferenceServiceClient(connection)
	inputs := &pb.ModelInferRequest{ModelName: "echo"}
	for range maxMessages + 1 {
		inputs.Inputs = append(inputs.Inputs, &pb.ModelInferRequest_InferInputTensor{})
	}
	parameters := &pb.ModelInferRequest{ModelName: "echo", Parameters: map[string]*pb.InferParameter{}}
	for i := range maxMessages/2 + 1 { // each one and its value
		parameters.Parameters[strconv.Itoa(i)] = &pb.InferParameter{}
	}
	elements := &pb.ModelInferRequest{ModelName: "echo", Inputs: []*pb.ModelInferRequest_InferInputTensor{{
		Contents: &pb.InferTensorContents{BytesContents: make([][]byte, maxElements+1)},
	}}}
	for _, m := range []*pb.ModelInferRequest{inputs, parameters, elements, {ModelName: "echo", RawInputContents: make([][]byte, maxElements+1)}} {
		_, err := client.ModelInfer(t.Context(), m)
		refused(t, "many parts", err, codes.Internal, "too many") // as gRPC answers what it can't read
	}
}

// TestGRPCBegin checks that every request that began ends.
func TestGRPCBegin(t *testing.T) {
	type key struct{}
	var begun, ended atomic.Int32
	room := make(chan int64, 1)
	connection, stop := startGRPC(t, NewModels(screws{realDetector(t)}, Limits{}), GRPCOptions{
		Options: Options{Room: func(ctx context.Context, bytes int64) error {
			if ctx.Value(key{}) == nil {
				t.Error("another context")
			}
			room <- bytes
			return nil
		}},
		Begin: func(ctx context.Context) (context.Context, func()) {
			begun.Add(1)
			return context.WithValue(ctx, key{}, true), func() { ended.Add(1) }
		},
	}, time.Minute)
	client := pb.NewGRPCInferenceServiceClient(connection)
	in := noiseTensor(2, 24, 40)
	if _, err := client.ModelInfer(t.Context(), &pb.ModelInferRequest{
		ModelName: "screw", RawInputContents: [][]byte{in.Data},
		Inputs: []*pb.ModelInferRequest_InferInputTensor{{Name: in.Name, Datatype: string(in.Datatype), Shape: in.Shape}},
	}); err != nil {
		t.Fatal(err)
	}
	if bytes := <-room; bytes < 2*24*40*4 {
		t.Errorf("room for %d bytes", bytes)
	}
	if _, err := client.ModelMetadata(t.Context(), &pb.ModelMetadataRequest{Name: "nobody"}); err == nil {
		t.Error("there is nobody")
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if begun.Load() != 2 || ended.Load() != 2 {
		t.Errorf("%d requests began, %d ended", begun.Load(), ended.Load())
	}
}

// TestGRPCStopStreams does not wait for a stream that its client leaves open.
func TestGRPCStopStreams(t *testing.T) {
	connection, stop := startGRPC(t, echo{}, GRPCOptions{}, time.Minute)
	stream := unfinished(t.Context(), t, connection, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
	if err := stream.SendMsg(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(&reflectionpb.ServerReflectionResponse{}); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := stop(); err != nil || time.Since(start) > 20*time.Second {
		t.Errorf("it took %v, %v", time.Since(start), err)
	}
}

// unfinished begins a request whose message does not come.
func unfinished(ctx context.Context, t *testing.T, connection *grpc.ClientConn, method string) grpc.ClientStream {
	t.Helper()
	stream, err := connection.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// TestGRPCCalls refuses a request that is one too many, saying when to come again, and
// takes it afterwards. Probes are answered all the time.
func TestGRPCCalls(t *testing.T) {
	started, end := make(chan struct{}), make(chan struct{})
	connection, _ := startGRPC(t, gate{started: started, end: end}, GRPCOptions{MaxCalls: 1}, time.Minute)
	client := pb.NewGRPCInferenceServiceClient(connection)
	answered := make(chan error, 1)
	go func() {
		_, err := client.ModelMetadata(t.Context(), &pb.ModelMetadataRequest{Name: "echo"})
		answered <- err
	}()
	<-started
	_, err := client.ServerMetadata(t.Context(), &pb.ServerMetadataRequest{})
	refused(t, "one too many", err, codes.ResourceExhausted, "too many requests")
	if details := grpcstatus.Convert(err).Details(); len(details) != 1 || details[0].(*errdetails.RetryInfo).RetryDelay.AsDuration() != retryAfter {
		t.Errorf("details: %v", details)
	}
	if live, err := client.ServerLive(t.Context(), &pb.ServerLiveRequest{}); err != nil || !live.Live {
		t.Errorf("live: %v, %v", live, err)
	}
	if ready, err := client.ServerReady(t.Context(), &pb.ServerReadyRequest{}); err != nil {
		t.Errorf("ready: %v, %v", ready, err)
	}
	if health, err := healthpb.NewHealthClient(connection).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil || health.Status != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("health: %v, %v", health, err)
	}
	close(end)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if _, err = client.ServerMetadata(t.Context(), &pb.ServerMetadataRequest{}); err != nil {
		t.Error(err)
	}
}

// TestGRPCUnfinished checks that requests whose messages do not come, of methods that need
// no token too, keep nobody else out and come to an end.
func TestGRPCUnfinished(t *testing.T) {
	const calls = 2
	connection, _ := startGRPC(t, echo{}, GRPCOptions{MaxCalls: calls, Receive: 200 * time.Millisecond}, time.Minute)
	client := pb.NewGRPCInferenceServiceClient(connection)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	defer time.AfterFunc(30*time.Second, cancel).Stop()
	expired := func(streams []grpc.ClientStream) {
		t.Helper()
		for _, stream := range streams {
			refused(t, "unfinished", stream.RecvMsg(&pb.ServerLiveResponse{}), codes.DeadlineExceeded, "")
		}
	}
	var probes, requests []grpc.ClientStream
	for range maxStreams - 1 { // with one more the connection has no stream left
		probes = append(probes, unfinished(ctx, t, connection, pb.GRPCInferenceService_ServerLive_FullMethodName))
	}
	if _, err := client.ServerMetadata(ctx, &pb.ServerMetadataRequest{}); err != nil {
		t.Errorf("beside probes: %v", err)
	}
	expired(probes)
	for range calls {
		requests = append(requests, unfinished(ctx, t, connection, pb.GRPCInferenceService_ModelInfer_FullMethodName))
	}
	expired(requests)
	_, err := client.ServerMetadata(ctx, &pb.ServerMetadataRequest{})
	for i := 0; err != nil && i < 100; i++ { // the place is left a moment after the answer
		time.Sleep(time.Millisecond)
		_, err = client.ServerMetadata(ctx, &pb.ServerMetadataRequest{})
	}
	if err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestGRPCWatch refuses what no place is kept for, in the way that clients take for health.
func TestGRPCWatch(t *testing.T) {
	connection, _ := startGRPC(t, echo{}, GRPCOptions{}, time.Minute)
	watch, err := healthpb.NewHealthClient(connection).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = watch.Recv()
	refused(t, "watch", err, codes.Unimplemented, "Watch")
}

// TestGRPCRoom checks that messages under way take no more than the room for them: a
// request that finds none waits, and is refused after the time for messages.
func TestGRPCRoom(t *testing.T) {
	const receive = time.Second
	started, end := make(chan struct{}), make(chan struct{})
	s := NewGRPCServer(gate{started: started, end: end}, GRPCOptions{Options: Options{MaxRequestBytes: 1000}, MaxBytes: 1900, Receive: receive})
	connection, _ := serveGRPC(t, s, time.Minute)
	client := pb.NewGRPCInferenceServiceClient(connection)
	answered := make(chan error, 1)
	ask := func() {
		_, err := client.ServerMetadata(t.Context(), &pb.ServerMetadataRequest{})
		answered <- err
	}
	// One that was received counts as large as it is.
	ended := make(chan error, 1)
	go func() {
		_, err := client.ModelMetadata(t.Context(), &pb.ModelMetadataRequest{Name: strings.Repeat("x", 500)})
		ended <- err
	}()
	<-started
	ask()
	if err := <-answered; err != nil {
		t.Errorf("beside a message of 500 bytes: %v", err)
	}
	if !s.room.TryAcquire(1000) {
		t.Fatal("a message of 500 bytes takes more than 900")
	}
	go ask()
	select {
	case err := <-answered:
		t.Errorf("without room: %v", err)
	case <-time.After(receive / 20):
	}
	s.room.Release(1000)
	if err := <-answered; err != nil {
		t.Errorf("after waiting for room: %v", err)
	}
	if !s.room.TryAcquire(1000) {
		t.Fatal("a message that was answered takes room")
	}
	ask()
	err := <-answered
	refused(t, "no room for long", err, codes.ResourceExhausted, "too many requests")
	if details := grpcstatus.Convert(err).Details(); len(details) != 1 {
		t.Errorf("details: %v", details)
	}
	close(end)
	refused(t, "the one that was received", <-ended, codes.NotFound, "")
}

// gate is echo that holds back metadata until its end or the request's.
type gate struct {
	echo
	started, end chan struct{}
}

func (g gate) Metadata(ctx context.Context, model, version string) (*Metadata, error) {
	close(g.started)
	select {
	case <-g.end:
		return g.echo.Metadata(ctx, model, version)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
