package oip

import (
	"context"
	"fmt"
	"math"
	"net"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	pb "github.com/destseg/destseg/serve/oip/inferencepb"
)

// GRPCOptions are what gRPC needs beyond [Options].
type GRPCOptions struct {
	Options
	// TLS are the server's credentials; nil is none.
	TLS credentials.TransportCredentials
	// Authorize looks at the metadata's authorization, such as "Bearer TOKEN", empty if
	// there is none; an error refuses the request. Nil lets everybody in. Liveness and
	// readiness of the server are told without.
	Authorize func(ctx context.Context, authorization string) error
	// Timeout bounds a request; 0 is a minute.
	Timeout time.Duration
	// MaxCalls is how many requests are received and answered at a time, over all
	// connections; 0 is 64. Each may take MaxRequestBytes.
	MaxCalls int
	// Observe hears how each request was answered, if it is not nil: the protocol's
	// method, such as "ModelInfer", or "other", and the code, such as "OK".
	Observe func(ctx context.Context, method, code string, took time.Duration)
}

// A GRPCServer is the protocol over gRPC, with the health service that Kubernetes asks
// (grpc.health.v1) and reflection.
type GRPCServer struct {
	server *grpc.Server
	health *health.Server
}

// Connections of the protocol over gRPC. A client that is gone without a word is found by
// pings.
const (
	maxStreams     = 128 // of one
	pingAfter      = 2 * time.Minute
	pingTimeout    = 20 * time.Second
	pingsNoFaster  = 10 * time.Second
	connectTimeout = 20 * time.Second
)

// NewGRPCServer returns the protocol over gRPC.
func NewGRPCServer(m Models, o GRPCOptions) *GRPCServer {
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	if o.MaxCalls <= 0 {
		o.MaxCalls = 64
	}
	if o.Observe == nil {
		o.Observe = func(context.Context, string, string, time.Duration) {}
	}
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(o.maxRequestBytes()),
		grpc.MaxSendMsgSize(math.MaxInt32), // what is asked for is bounded by Limits
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(connectTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingAfter, Timeout: pingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingsNoFaster, PermitWithoutStream: true}),
		grpc.InTapHandle(admit(o)),
		grpc.ChainUnaryInterceptor(observed(o), recovered(o.Options), bounded(o.Timeout)),
	}
	if o.TLS != nil {
		options = append(options, grpc.Creds(o.TLS))
	}
	s := &GRPCServer{server: grpc.NewServer(options...), health: health.NewServer()}
	pb.RegisterGRPCInferenceServiceServer(s.server, &rpc{models: m, options: o.Options})
	healthpb.RegisterHealthServer(s.server, s.health)
	reflection.Register(s.server)
	return s
}

// Serve answers requests until the context ends. Then it takes no new ones, finishes those
// that it has within the grace, and closes the listener.
func (s *GRPCServer) Serve(ctx context.Context, l net.Listener, grace time.Duration) error {
	ended := make(chan error, 1)
	go func() { ended <- s.server.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	s.health.Shutdown()
	late := time.AfterFunc(grace, s.server.Stop)
	s.server.GracefulStop()
	if !late.Stop() {
		return fmt.Errorf("requests over gRPC were not finished within %v", grace)
	}
	return nil
}

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

// admit refuses a request that lacks a right to its method, or that is one too many, before
// its message is received.
func admit(o GRPCOptions) tap.ServerInHandle {
	calls := semaphore.NewWeighted(int64(o.MaxCalls))
	refuse := func(ctx context.Context, info *tap.Info, code codes.Code, text string) (context.Context, error) {
		o.Observe(ctx, methodName(info.FullMethodName), code.String(), 0)
		return nil, grpcstatus.Error(code, text)
	}
	return func(ctx context.Context, info *tap.Info) (context.Context, error) {
		if o.Authorize != nil && !open(info.FullMethodName) {
			authorization := ""
			if values := info.Header.Get("authorization"); len(values) > 0 {
				authorization = values[0]
			}
			if err := o.Authorize(ctx, authorization); err != nil {
				return refuse(ctx, info, codes.Unauthenticated, err.Error())
			}
		}
		if !calls.TryAcquire(1) {
			return refuse(ctx, info, codes.ResourceExhausted, "too many requests at a time")
		}
		context.AfterFunc(ctx, func() { calls.Release(1) }) // gRPC ends it with the request
		return ctx, nil
	}
}

// observed tells how requests were answered.
func observed(o GRPCOptions) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		start := time.Now()
		response, err := handle(ctx, request)
		o.Observe(ctx, methodName(info.FullMethod), grpcstatus.Code(err).String(), time.Since(start))
		return response, err
	}
}

// recovered answers a request that panics, so that the others live on.
func recovered(o Options) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (response any, err error) {
		defer func() {
			if r := recover(); r != nil {
				o.log().ErrorContext(ctx, "inference protocol", "method", info.FullMethod, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
				response, err = nil, grpcstatus.Error(codes.Internal, "the server failed; its log tells why")
			}
		}()
		return handle(ctx, request)
	}
}

// bounded gives every request an end.
func bounded(limit time.Duration) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		return handle(ctx, request)
	}
}
