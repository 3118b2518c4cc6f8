package oip

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"
	"google.golang.org/protobuf/proto"

	pb "github.com/destseg/destseg/serve/oip/inferencepb"
)

const (
	// probeTime is for the message of a probe to arrive, which has a few bytes. It bounds
	// what probes take, who need no token, in place of a number of them: one client could
	// use that up, and the others' probes would fail.
	probeTime = time.Second
	// maxReflections is how many streams of reflection there are at a time.
	maxReflections = 4
	// retryAfter is when a request that was refused may come again.
	retryAfter = time.Second
)

// open tells the methods that need no token: those that probes ask.
func open(method string) bool {
	return method == pb.GRPCInferenceService_ServerLive_FullMethodName || method == pb.GRPCInferenceService_ServerReady_FullMethodName ||
		strings.HasPrefix(method, "/grpc.health.v1.Health/")
}

// methodName is a method of the protocol without the service, and "other" for whatever else
// a client may ask.
func methodName(full string) string {
	for _, m := range pb.GRPCInferenceService_ServiceDesc.Methods {
		if full == "/"+pb.GRPCInferenceService_ServiceDesc.ServiceName+"/"+m.MethodName {
			return m.MethodName
		}
	}
	return "other"
}

// A call is the context of a request. gRPC itself receives the message, and heeds only the
// context that the tap returns: ending it is the way to end a request whose message does
// not come.
type call struct {
	context.Context
	cancel context.CancelCauseFunc
	end    func() // once the answer is on its way
}

// callKey finds a call from a context made of it.
type callKey struct{}

func callOf(ctx context.Context) *call { return ctx.Value(callKey{}).(*call) }

func (c *call) Value(key any) any {
	if key == (callKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// expire ends a call as if it had had a deadline.
func (c *call) expire() { c.cancel(context.DeadlineExceeded) }

// Err is what gRPC makes the status of.
func (c *call) Err() error {
	err := c.Context.Err()
	if err != nil && errors.Is(context.Cause(c.Context), context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return err
}

// tap sees a request when its header has come, and refuses one that lacks a right.
func (s *GRPCServer) tap(ctx context.Context, info *tap.Info) (context.Context, error) {
	if s.options.Authorize != nil && !open(info.FullMethodName) {
		authorization := ""
		if values := info.Header.Get("authorization"); len(values) > 0 {
			authorization = values[0]
		}
		if err := s.options.Authorize(ctx, authorization); err != nil {
			s.options.Observe(ctx, methodName(info.FullMethodName), codes.Unauthenticated.String(), 0)
			return nil, grpcstatus.Error(codes.Unauthenticated, err.Error())
		}
	}
	ctx, end := s.options.Begin(ctx)
	ctx, cancel := context.WithCancelCause(ctx)
	return &call{ctx, cancel, end}, nil
}

// ends tells calls that they end, which is after their handlers: these return the message
// that is still to be written.
type ends struct{}

func (ends) HandleRPC(ctx context.Context, event stats.RPCStats) {
	if _, ok := event.(*stats.End); ok {
		callOf(ctx).end()
	}
}

func (ends) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (ends) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (ends) HandleConn(context.Context, stats.ConnStats)                       {}

// guarded puts before every method of a service what all requests pass. An interceptor
// would come too late: it is called when the message has been received.
func (s *GRPCServer) guarded(service grpc.ServiceDesc) *grpc.ServiceDesc {
	methods := make([]grpc.MethodDesc, len(service.Methods))
	for i, m := range service.Methods {
		name, answer := "/"+service.ServiceName+"/"+m.MethodName, m.Handler
		admit := s.request
		if open(name) {
			admit = s.probe
		}
		methods[i] = grpc.MethodDesc{MethodName: m.MethodName, Handler: func(server any, ctx context.Context, receive func(any) error, _ grpc.UnaryServerInterceptor) (response any, err error) {
			err = s.watched(ctx, name, func() error {
				return admit(ctx, receive, func(receive func(any) error) error {
					response, err = answer(server, ctx, receive, s.bounded)
					return err
				})
			})
			return response, err
		}}
	}
	service.Methods = methods
	return &service
}

// watched tells how a request was answered, and answers one that panics, so that the others
// live on.
func (s *GRPCServer) watched(ctx context.Context, method string, handle func() error) (err error) {
	start := time.Now()
	defer func() {
		if r := recover(); r != nil {
			s.options.log().ErrorContext(ctx, "inference protocol", "method", method, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			err = grpcstatus.Error(codes.Internal, "the server failed; its log tells why")
		}
		s.options.Observe(ctx, methodName(method), grpcstatus.Code(err).String(), time.Since(start))
	}()
	return handle()
}

// busy refuses a request.
func busy() error { return failureOf(&BusyError{RetryAfter: retryAfter}).grpc() }

// probe lets a request in that is not counted.
func (s *GRPCServer) probe(ctx context.Context, receive func(any) error, answer func(receive func(any) error) error) error {
	return answer(within(ctx, min(probeTime, s.options.Receive), receive))
}

// request lets a request in that takes one of the places, and room for its message.
func (s *GRPCServer) request(ctx context.Context, receive func(any) error, answer func(receive func(any) error) error) error {
	if !s.calls.TryAcquire(1) {
		return busy()
	}
	defer s.calls.Release(1)
	held := int64(s.options.MaxRequestBytes)
	wait, cancel := context.WithTimeout(ctx, s.options.Receive)
	defer cancel()
	if err := s.room.Acquire(wait, held); err != nil {
		if ctx.Err() != nil {
			return grpcstatus.FromContextError(ctx.Err()).Err()
		}
		return busy()
	}
	defer func() { s.room.Release(held) }()
	receive = within(ctx, s.options.Receive, receive)
	return answer(func(message any) error {
		if err := receive(message); err != nil {
			return err
		}
		size := min(int64(proto.Size(message.(proto.Message))), held)
		s.room.Release(held - size)
		held = size
		return nil
	})
}

// within returns a receive that ends the call if the message does not come in time.
func within(ctx context.Context, limit time.Duration, receive func(any) error) func(any) error {
	return func(message any) error {
		late := time.AfterFunc(limit, callOf(ctx).expire)
		defer late.Stop()
		return receive(message)
	}
}

// bounded gives every answer an end.
func (s *GRPCServer) bounded(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	return handle(ctx, request)
}

// stream bounds those of reflection, which may be long without a message. They do not hold
// up the server's end.
func (s *GRPCServer) stream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	ctx := stream.Context()
	return s.watched(ctx, info.FullMethod, func() error {
		if !s.streams.TryAcquire(1) {
			return busy()
		}
		defer s.streams.Release(1)
		c := callOf(ctx)
		late := time.AfterFunc(s.options.Receive, c.expire)
		defer late.Stop()
		ended := context.AfterFunc(s.ending, func() { c.cancel(nil) })
		defer ended()
		return handle(server, stream)
	})
}
