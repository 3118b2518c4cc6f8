package oip

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/destseg/destseg/serve/oip/inferencepb"
)

// rpc answers the protocol's requests over gRPC.
type rpc struct {
	pb.UnimplementedGRPCInferenceServiceServer
	models  Models
	options Options
}

func (s *rpc) ServerLive(context.Context, *pb.ServerLiveRequest) (*pb.ServerLiveResponse, error) {
	return &pb.ServerLiveResponse{Live: true}, nil
}

func (s *rpc) ServerReady(ctx context.Context, _ *pb.ServerReadyRequest) (*pb.ServerReadyResponse, error) {
	return &pb.ServerReadyResponse{Ready: s.models.Ready(ctx) == nil}, nil
}

func (s *rpc) ModelReady(ctx context.Context, r *pb.ModelReadyRequest) (*pb.ModelReadyResponse, error) {
	model, err := status(ctx, s.models, r.Name, r.Version)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	return &pb.ModelReadyResponse{Ready: model.Ready}, nil
}

func (s *rpc) ServerMetadata(context.Context, *pb.ServerMetadataRequest) (*pb.ServerMetadataResponse, error) {
	return &pb.ServerMetadataResponse{Name: s.options.Name, Version: s.options.Version, Extensions: extensions()}, nil
}

func (s *rpc) ModelMetadata(ctx context.Context, r *pb.ModelMetadataRequest) (*pb.ModelMetadataResponse, error) {
	m, err := s.models.Metadata(ctx, r.Name, r.Version)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	response := &pb.ModelMetadataResponse{Name: m.Name, Versions: m.Versions, Platform: m.Platform}
	for _, t := range m.Inputs {
		response.Inputs = append(response.Inputs, &pb.ModelMetadataResponse_TensorMetadata{Name: t.Name, Datatype: string(t.Datatype), Shape: t.Shape})
	}
	for _, t := range m.Outputs {
		response.Outputs = append(response.Outputs, &pb.ModelMetadataResponse_TensorMetadata{Name: t.Name, Datatype: string(t.Datatype), Shape: t.Shape})
	}
	return response, nil
}

func (s *rpc) RepositoryIndex(ctx context.Context, r *pb.RepositoryIndexRequest) (*pb.RepositoryIndexResponse, error) {
	all, err := s.models.Index(ctx)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	response := &pb.RepositoryIndexResponse{}
	for _, m := range all {
		if m.Ready || !r.Ready {
			response.Models = append(response.Models, &pb.RepositoryIndexResponse_ModelIndex{Name: m.Name, Version: m.Version, State: m.state(), Reason: m.Reason})
		}
	}
	return response, nil
}

func (s *rpc) ModelInfer(ctx context.Context, r *pb.ModelInferRequest) (*pb.ModelInferResponse, error) {
	request, err := requestOf(r)
	if err != nil {
		return nil, s.fail(ctx, fmt.Errorf("%w: %w", ErrInvalid, err))
	}
	// As the model makes it, in the message, and on its way.
	request.Room = s.options.room(ctx, func(string) int64 { return 3 })
	response, err := s.models.Infer(ctx, request)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	return responseOf(response, r.Id, len(r.RawInputContents) > 0), nil
}

// fail returns the status for an error.
func (s *rpc) fail(ctx context.Context, err error) error {
	f := failureOf(err)
	if f.internal {
		s.options.log().ErrorContext(ctx, "inference protocol", "error", err)
	}
	return f.grpc()
}

// grpc returns the failure as an error of gRPC.
func (f failure) grpc() error {
	status := grpcstatus.New(f.code, f.text)
	if f.retryAfter > 0 {
		if with, err := status.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(f.retryAfter)}); err == nil {
			status = with
		}
	}
	return status.Err()
}

// requestOf reads a message. Tensors may share its memory.
func requestOf(r *pb.ModelInferRequest) (*Request, error) {
	raw := len(r.RawInputContents) > 0
	if raw && len(r.RawInputContents) != len(r.Inputs) {
		return nil, fmt.Errorf("%d raw_input_contents for %d inputs", len(r.RawInputContents), len(r.Inputs))
	}
	request := &Request{Model: r.ModelName, Version: r.ModelVersion, ID: r.Id, Parameters: parametersOf(r.Parameters)}
	for i, in := range r.Inputs {
		t := Tensor{Name: in.Name, Datatype: Datatype(in.Datatype), Shape: in.Shape, Parameters: parametersOf(in.Parameters)}
		var err error
		switch {
		case raw && in.Contents != nil:
			err = fmt.Errorf("it has contents beside raw_input_contents")
		case raw:
			t.Data = r.RawInputContents[i]
		default:
			t.Data, err = contentsData(t.Datatype, in.Contents)
		}
		if err != nil {
			return nil, fmt.Errorf("input %q: %w", in.Name, err)
		}
		request.Inputs = append(request.Inputs, t)
	}
	for _, out := range r.Outputs {
		request.Outputs = append(request.Outputs, Output{Name: out.Name, Parameters: parametersOf(out.Parameters)})
	}
	return request, request.check()
}

// parametersOf reads parameters. One without a value is none.
func parametersOf(values map[string]*pb.InferParameter) Parameters {
	p := Parameters{}
	for name, v := range values {
		switch v := v.GetParameterChoice().(type) {
		case *pb.InferParameter_BoolParam:
			p[name] = v.BoolParam
		case *pb.InferParameter_Int64Param:
			p[name] = v.Int64Param
		case *pb.InferParameter_StringParam:
			p[name] = v.StringParam
		case *pb.InferParameter_DoubleParam:
			p[name] = v.DoubleParam
		case *pb.InferParameter_Uint64Param:
			p[name] = v.Uint64Param
		}
	}
	return p
}

// messagesOf is the way back from [parametersOf].
func messagesOf(p Parameters) map[string]*pb.InferParameter {
	if len(p) == 0 {
		return nil
	}
	messages := map[string]*pb.InferParameter{}
	for name, v := range p {
		m := &pb.InferParameter{}
		switch v := v.(type) {
		case bool:
			m.ParameterChoice = &pb.InferParameter_BoolParam{BoolParam: v}
		case int64:
			m.ParameterChoice = &pb.InferParameter_Int64Param{Int64Param: v}
		case string:
			m.ParameterChoice = &pb.InferParameter_StringParam{StringParam: v}
		case float64:
			m.ParameterChoice = &pb.InferParameter_DoubleParam{DoubleParam: v}
		case uint64:
			m.ParameterChoice = &pb.InferParameter_Uint64Param{Uint64Param: v}
		}
		messages[name] = m
	}
	return messages
}

// contentsData returns typed contents in the form of [Tensor.Data]. Contents in the field of
// another data type are an error; how many there must be is checked with the shape.
func contentsData(datatype Datatype, c *pb.InferTensorContents) ([]byte, error) {
	size, known := datatype.size()
	if !known {
		return nil, fmt.Errorf("datatype %q is none of the protocol", datatype)
	}
	given := 0
	for _, n := range []int{
		len(c.GetBoolContents()), len(c.GetIntContents()), len(c.GetInt64Contents()), len(c.GetUintContents()),
		len(c.GetUint64Contents()), len(c.GetFp32Contents()), len(c.GetFp64Contents()), len(c.GetBytesContents()),
	} {
		given += n
	}
	little := binary.LittleEndian
	data := make([]byte, 0, given*size+widest)
	read := 0 // values from the field of the data type
	switch datatype {
	case Bool:
		read = len(c.GetBoolContents())
		for _, v := range c.GetBoolContents() {
			b := byte(0)
			if v {
				b = 1
			}
			data = append(data, b)
		}
	case Int8, Int16, Int32:
		read = len(c.GetIntContents())
		largest := int32(1)<<(8*size-1) - 1
		for i, v := range c.GetIntContents() {
			if v > largest || v < -largest-1 {
				return nil, fmt.Errorf("element %d: %d is no %s", i, v, datatype)
			}
			data = little.AppendUint32(data, uint32(v))[:(i+1)*size]
		}
	case Int64:
		read = len(c.GetInt64Contents())
		for _, v := range c.GetInt64Contents() {
			data = little.AppendUint64(data, uint64(v))
		}
	case Uint8, Uint16, Uint32:
		read = len(c.GetUintContents())
		for i, v := range c.GetUintContents() {
			if uint64(v) >= 1<<(8*size) {
				return nil, fmt.Errorf("element %d: %d is no %s", i, v, datatype)
			}
			data = little.AppendUint32(data, v)[:(i+1)*size]
		}
	case Uint64:
		read = len(c.GetUint64Contents())
		for _, v := range c.GetUint64Contents() {
			data = little.AppendUint64(data, v)
		}
	case FP32:
		read = len(c.GetFp32Contents())
		for _, v := range c.GetFp32Contents() {
			data = little.AppendUint32(data, math.Float32bits(v))
		}
	case FP64:
		read = len(c.GetFp64Contents())
		for _, v := range c.GetFp64Contents() {
			data = little.AppendUint64(data, math.Float64bits(v))
		}
	case Bytes:
		read = len(c.GetBytesContents())
		for _, v := range c.GetBytesContents() {
			data = appendElement(data, v)
		}
	}
	if read != given {
		return nil, fmt.Errorf("contents are in a field that %s does not have; FP16 and BF16 go into raw_input_contents", datatype)
	}
	return data, nil
}

// responseOf writes a message, raw or, if every data type has a field, typed.
func responseOf(r *Response, id string, raw bool) *pb.ModelInferResponse {
	for _, t := range r.Outputs {
		raw = raw || t.Datatype == FP16 || t.Datatype == BF16
	}
	response := &pb.ModelInferResponse{ModelName: r.Model, ModelVersion: r.Version, Id: id, Parameters: messagesOf(r.Parameters)}
	for i := range r.Outputs {
		t := &r.Outputs[i]
		out := &pb.ModelInferResponse_InferOutputTensor{Name: t.Name, Datatype: string(t.Datatype), Shape: t.Shape, Parameters: messagesOf(t.Parameters)}
		if raw {
			response.RawOutputContents = append(response.RawOutputContents, t.Data)
		} else {
			out.Contents = dataContents(t)
		}
		response.Outputs = append(response.Outputs, out)
	}
	return response
}

// dataContents is the way back from [contentsData].
func dataContents(t *Tensor) *pb.InferTensorContents {
	little := binary.LittleEndian
	c := &pb.InferTensorContents{}
	if t.Datatype == Bytes {
		for element := range t.Elements() {
			c.BytesContents = append(c.BytesContents, element)
		}
		return c
	}
	size, _ := t.Datatype.size()
	for data := t.Data; len(data) >= size; data = data[size:] {
		switch t.Datatype {
		case Bool:
			c.BoolContents = append(c.BoolContents, data[0] != 0)
		case Int8:
			c.IntContents = append(c.IntContents, int32(int8(data[0])))
		case Int16:
			c.IntContents = append(c.IntContents, int32(int16(little.Uint16(data))))
		case Int32:
			c.IntContents = append(c.IntContents, int32(little.Uint32(data)))
		case Int64:
			c.Int64Contents = append(c.Int64Contents, int64(little.Uint64(data)))
		case Uint8:
			c.UintContents = append(c.UintContents, uint32(data[0]))
		case Uint16:
			c.UintContents = append(c.UintContents, uint32(little.Uint16(data)))
		case Uint32:
			c.UintContents = append(c.UintContents, little.Uint32(data))
		case Uint64:
			c.Uint64Contents = append(c.Uint64Contents, little.Uint64(data))
		case FP32:
			c.Fp32Contents = append(c.Fp32Contents, math.Float32frombits(little.Uint32(data)))
		case FP64:
			c.Fp64Contents = append(c.Fp64Contents, math.Float64frombits(little.Uint64(data)))
		}
	}
	return c
}
