package oip

import (
	"context"
	"fmt"
	"math"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

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
	// Receive is how long a request's message may take to arrive; 0 is 30 seconds.
	Receive time.Duration
	// Timeout bounds a request whose message is there; 0 is a minute.
	Timeout time.Duration
	// MaxCalls is how many requests are received and worked at at a time, over all
	// connections; 0 is 64. Others are refused. Probes are not counted.
	MaxCalls int
	// MaxBytes is how many bytes their messages may take; 0 is 512 MiB, and it is at
	// least MaxRequestBytes. How large a message is, is known once it is there: until
	// then it counts as the largest. Those that find no room wait for it.
	MaxBytes int64
	// Begin makes the context of each request, and what is to be done once the answer is on
	// its way; nil: nothing.
	Begin func(ctx context.Context) (inner context.Context, end func())
	// Observe hears how each request was answered, if it is not nil: the protocol's
	// method, such as "ModelInfer", or "other", and the code, such as "OK".
	Observe func(ctx context.Context, method, code string, took time.Duration)
}

// A GRPCServer is the protocol over gRPC, with the health service that Kubernetes asks
// (grpc.health.v1) and reflection.
type GRPCServer struct {
	options GRPCOptions
	server  *grpc.Server
	health  *health.Server
	calls   *semaphore.Weighted // requests that are received and worked at
	room    *semaphore.Weighted // bytes for their messages
	streams *semaphore.Weighted // of reflection
	ending  context.Context     // ends when the server is to stop
	end     context.CancelFunc
}

// Connections of the protocol over gRPC. A client that is gone without a word is found by
// pings.
const (
	maxStreams     = 128              // of one
	streamWindow   = 1 << 20          // bytes that one may send before they are read
	window         = 16 << 20         // bytes that all may have on their way
	maxAge         = 30 * time.Minute // or answers that nobody reads would be kept for ever
	pingAfter      = 2 * time.Minute
	pingTimeout    = 20 * time.Second
	pingsNoFaster  = 10 * time.Second
	connectTimeout = 20 * time.Second
)

// NewGRPCServer returns the protocol over gRPC.
func NewGRPCServer(m Models, o GRPCOptions) *GRPCServer {
	if o.Receive <= 0 {
		o.Receive = 30 * time.Second
	}
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	if o.MaxCalls <= 0 {
		o.MaxCalls = 64
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 512 << 20
	}
	o.MaxRequestBytes = o.maxRequestBytes()
	o.MaxBytes = max(o.MaxBytes, int64(o.MaxRequestBytes))
	if o.Begin == nil {
		o.Begin = func(ctx context.Context) (context.Context, func()) { return ctx, func() {} }
	}
	if o.Observe == nil {
		o.Observe = func(context.Context, string, string, time.Duration) {}
	}
	s := &GRPCServer{
		options: o, health: health.NewServer(), calls: semaphore.NewWeighted(int64(o.MaxCalls)),
		room: semaphore.NewWeighted(o.MaxBytes), streams: semaphore.NewWeighted(maxReflections),
	}
	s.ending, s.end = context.WithCancel(context.Background())
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(o.MaxRequestBytes),
		grpc.MaxSendMsgSize(math.MaxInt32), // what is asked for is bounded by Limits
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.StaticStreamWindowSize(streamWindow), // else it grows, and with it what waits to be read
		grpc.StaticConnWindowSize(window),
		grpc.ConnectionTimeout(connectTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionAge: maxAge, MaxConnectionAgeGrace: o.Receive + o.Timeout, Time: pingAfter, Timeout: pingTimeout,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingsNoFaster, PermitWithoutStream: true}),
		grpc.InTapHandle(s.tap),
		grpc.StatsHandler(ends{}),
		grpc.ForceServerCodecV2(codec{encoding.GetCodecV2(proto.Name)}),
		grpc.StreamInterceptor(s.stream),
	}
	if o.TLS != nil {
		options = append(options, grpc.Creds(o.TLS))
	}
	s.server = grpc.NewServer(options...)
	s.server.RegisterService(s.guarded(pb.GRPCInferenceService_ServiceDesc), &rpc{models: m, options: o.Options})
	probed := s.guarded(healthpb.Health_ServiceDesc)
	// Without Watch, which clients take for health: it would tell of nothing but the
	// server's end, and of that every connection is told.
	probed.Streams = nil
	s.server.RegisterService(probed, s.health)
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
	s.end()
	var cut atomic.Bool
	late := time.AfterFunc(grace, func() {
		cut.Store(!s.calls.TryAcquire(int64(s.options.MaxCalls))) // else nothing is under way but connections
		s.server.Stop()
	})
	s.server.GracefulStop()
	late.Stop()
	if cut.Load() {
		return fmt.Errorf("requests over gRPC were not finished within %v", grace)
	}
	return nil
}
