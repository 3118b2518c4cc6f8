package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/serve"
	"github.com/destseg/destseg/serve/history"
	"github.com/destseg/destseg/serve/host"
	"github.com/destseg/destseg/serve/watch"
)

// Where tokens stand in the environment.
const (
	readTokenVariable  = "DESTSEG_READ_TOKEN"
	adminTokenVariable = "DESTSEG_ADMIN_TOKEN"
)

type serveOptions struct {
	listen, grpc                  string // addresses; grpc empty for none
	tokens                        string // file; empty for none
	anyone                        bool
	certificate, key              string // files; empty for plain HTTP
	queue, batch                  int
	batchWait                     time.Duration
	memory, body, bodies, answers int64
	pixels                        int
	receive, decode               time.Duration
	answer, grace                 time.Duration
	history                       historyOptions
	watch                         watchOptions
	logFormat                     string
	verbose                       bool
	computing
}

func newServe(c *console) *cobra.Command {
	limits := serve.DefaultLimits()
	o := serveOptions{
		listen: "127.0.0.1:8080", queue: 64, batchWait: 2 * time.Millisecond, memory: 2 << 30,
		body: limits.Body, bodies: limits.Bodies, answers: limits.Answers, pixels: int(limits.Pixels),
		receive: limits.Receive, decode: limits.Decode, answer: limits.Answer, grace: 90 * time.Second,
		history:   historyOptions{size: 10 << 30},
		watch:     watchOptions{settle: 500 * time.Millisecond, patience: 10 * time.Second, poll: 2 * time.Second, giveUp: 72 * time.Hour},
		logFormat: "text",
	}
	command := &cobra.Command{
		Use:   "serve DETECTOR…",
		Short: "Inspects pictures that come over HTTP",
		Long: `serve answers HTTP requests with what detectors say about pictures. Detectors are
files, or all *.safetensors files of a folder, and called as their files. Each is
read when the first picture for it comes, and anew when its file is replaced.

  curl --data-binary @part.png 'http://localhost:8080/v1/inspect?detector=parts'

http://localhost:8080/ is a page for the browser, which takes pictures, shows what was
found on them, and looks results up. /openapi.json describes the interface for
programs; /v2 and --grpc speak the Open Inference Protocol of KServe and Triton.
/metrics is for Prometheus, /healthz and /readyz are for whoever starts and watches
the program.

--history keeps every result in a SQLite file, with a copy of the picture; it is
there before the answer is sent. Without it the page knows those of its own pictures
until the program ends.

--watch inspects the pictures of a folder as cameras put them there, and --webhook
tells another program of the results. A restart neither repeats nor forgets.

It listens to this machine alone. To be reached from others it needs tokens, or to
be told that anyone may use it (--anyone). A file of tokens holds in each line a
right, read or admin, a space and a token; one of each may stand in the variables
` + readTokenVariable + ` and ` + adminTokenVariable + ` instead.

Ctrl-C or SIGTERM ends it: what was accepted is finished first.`,
		Example: `  destseg serve detectors/
  destseg serve detectors/ --history line3.db --history-age 90d
  destseg serve parts.safetensors --watch /srv/camera --watch-move --webhook http://line-3/rejects
  destseg serve parts.safetensors --listen :8443 --tokens tokens --tls-cert cert.pem --tls-key key.pem`,
		Args: arguments("DETECTOR…"),
		RunE: func(command *cobra.Command, args []string) error {
			if err := o.watch.check(command.Flags()); err != nil {
				return err
			}
			return o.run(command.Context(), c, args)
		},
	}
	f := command.Flags()
	f.SortFlags = false
	f.StringVar(&o.listen, "listen", o.listen, "`ADDRESS` and port; port 0 takes a free one")
	f.StringVar(&o.grpc, "grpc", "", "`ADDRESS` and port for the Open Inference Protocol over gRPC, which /v2\nspeaks over HTTP")
	f.StringVar(&o.tokens, "tokens", "", "`FILE` of tokens; without tokens everyone who reaches the service\nmay do everything")
	f.BoolVar(&o.anyone, "anyone", false, "listen to other machines, and answer to any name, without tokens")
	f.StringVar(&o.certificate, "tls-cert", "", "PEM `FILE` with the certificate; it may be replaced at any time")
	f.StringVar(&o.key, "tls-key", "", "PEM `FILE` with its key")
	countFlag(f, &o.queue, 0, 1<<20, "queue", "pictures that may wait; others are refused with status 429")
	countFlag(f, &o.batch, 0, 4096, "batch", "pictures that may go through the networks together, 0 for 8 where there\nare more than 8 processors, which one picture does not keep busy, else 1")
	durationFlag(f, &o.batchWait, "batch-wait", "how long a picture waits for others to fill a batch")
	bytesFlag(f, &o.memory, "memory", "that detectors may take; those not used for longest leave. 0: no limit")
	positiveBytesFlag(f, &o.body, "max-body", "largest body of a request")
	positiveBytesFlag(f, &o.bodies, "max-bodies", "that all bodies received and waiting may take, and over gRPC as much\nagain")
	positiveBytesFlag(f, &o.answers, "max-answers", "that maps and pictures in all answers may take until they are sent")
	countFlag(f, &o.pixels, 1, picture.MaxPixels, "max-pixels", "largest picture, width times height")
	positiveDurationFlag(f, &o.receive, "receive-time", "in which a request must arrive")
	positiveDurationFlag(f, &o.decode, "decode-time", "in which a picture must be decoded")
	positiveDurationFlag(f, &o.answer, "answer-time", "in which a picture must be inspected, waiting included")
	durationFlag(f, &o.grace, "grace", "to finish what was accepted when the service ends")
	o.history.flags(f)
	o.watch.flags(f)
	choiceFlag(f, &o.logFormat, "log", "KIND", "of log lines: text or json", "text", "json")
	f.BoolVar(&o.verbose, "verbose", false, "log every request")
	inspectingFlags(f, &o.computing)
	return command
}

// batchSize lets pictures go together, unless it was said, only where one is too little
// for the processors. On a few it keeps them all busy: eight at a time go no faster
// there, see docs/performance.md.
func (o serveOptions) batchSize() int {
	const few = 8
	switch {
	case o.batch > 0:
		return o.batch
	case runtime.GOMAXPROCS(0) > few:
		return 8
	}
	return 1
}

// idleHeap is memory that nobody touches, so that it takes none, in bytes. It makes the
// heap look larger: else what pictures leave behind would be collected every three
// pictures, by the processors that the networks want.
const idleHeap = 32 << 20

func (o serveOptions) run(ctx context.Context, c *console, sources []string) error {
	outliveReaders() // of the log
	defer runtime.KeepAlive(make([]byte, idleHeap))
	tokens, err := o.readTokens()
	if err != nil {
		return err
	}
	if (o.certificate == "") != (o.key == "") {
		return wrongUsage("--tls-cert and --tls-key go together")
	}
	log := o.logger(c)
	var secure *tls.Config
	if o.certificate != "" {
		if secure, err = serve.TLSFiles(o.certificate, o.key, log); err != nil {
			return err
		}
	}
	h, err := o.host(sources, log)
	if err != nil {
		return err
	}
	results, err := o.history.open(ctx, log)
	if err != nil {
		return errors.Join(err, h.Close())
	}
	config := serve.Config{
		Host: h, Tokens: tokens, AnyHost: o.anyone, Log: log,
		Limits: serve.Limits{
			Body: o.body, Bodies: o.bodies, Answers: o.answers, Pixels: int64(o.pixels), Receive: o.receive, Decode: o.decode, Answer: o.answer,
		},
	}
	if !results.InMemory() {
		config.Recorder = results
	}
	return errors.Join(o.listenAndWatch(ctx, c, config, results, secure), h.Close(), results.Close())
}

// listenAndWatch serves until ctx ends or a part of the service fails.
func (o serveOptions) listenAndWatch(ctx context.Context, c *console, config serve.Config, results *history.History, secure *tls.Config) error {
	listener, err := o.bind(c, o.listen, config.Tokens, secure)
	if err != nil {
		return err
	}
	defer listener.Close()
	var grpcListener net.Listener
	if o.grpc != "" {
		if grpcListener, err = o.bind(c, o.grpc, config.Tokens, secure); err != nil {
			return err
		}
		defer grpcListener.Close()
	}
	server := serve.New(config)
	if err := addPage(server, config.Host, results, config.Log); err != nil {
		return err
	}
	var watcher *watch.Watcher
	if o.watch.dir != "" {
		if watcher, err = o.watch.watcher(config, server, results); err != nil {
			return err
		}
	}

	group, ctx := errgroup.WithContext(ctx) // if one ends, so do the others
	if grpcListener != nil {
		c.note("gRPC on %s", grpcListener.Addr())
		speaker := server.NewGRPC(secure) // copies what the other will change
		group.Go(func() error { return speaker.Serve(ctx, grpcListener, o.grace) })
	}
	if watcher != nil {
		group.Go(func() error {
			watcher.Run(ctx)
			return nil
		})
	}
	scheme := "http"
	if secure != nil {
		scheme = "https"
	}
	c.note("Listening on %s://%s", scheme, listener.Addr())
	group.Go(func() error { return server.Serve(ctx, listener, secure, o.grace) })
	return group.Wait()
}

// bind listens to an address, if the service may be reached there.
func (o serveOptions) bind(c *console, address string, tokens serve.Tokens, secure *tls.Config) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	if l.Addr().(*net.TCPAddr).IP.IsLoopback() {
		return l, nil
	}
	if tokens.Empty() && !o.anyone {
		return nil, errors.Join(wrongUsage("%s can be reached from other machines: give --tokens, or --anyone if everyone may use it", address), l.Close())
	}
	if !tokens.Empty() && secure == nil {
		c.note("Tokens for %s travel in the clear: give --tls-cert and --tls-key unless a proxy in front does TLS.", address)
	}
	return l, nil
}

// readTokens reads the file of tokens and the environment.
func (o serveOptions) readTokens() (serve.Tokens, error) {
	var tokens serve.Tokens
	if o.tokens != "" {
		if err := tokens.ReadFile(o.tokens); err != nil {
			return tokens, err
		}
	}
	for variable, right := range map[string]serve.Right{readTokenVariable: serve.Read, adminTokenVariable: serve.Admin} {
		if text := os.Getenv(variable); text != "" {
			if err := tokens.Add(right, text); err != nil {
				return tokens, fmt.Errorf("%s: %w", variable, err)
			}
		}
	}
	return tokens, nil
}

func (o serveOptions) logger(c *console) *slog.Logger {
	options := &slog.HandlerOptions{}
	if o.verbose {
		options.Level = slog.LevelDebug
	}
	if o.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(c.err, options))
	}
	return slog.New(slog.NewTextHandler(c.err, options))
}

func (o serveOptions) host(sources []string, log *slog.Logger) (*host.Host, error) {
	e, err := destseg.NewEngine(o.engine)
	if err != nil {
		return nil, err
	}
	return host.New(host.Options{
		Sources: sources, Memory: o.memory, Queue: o.queue, Batch: o.batchSize(), Wait: o.batchWait, Log: log,
		Options: []destseg.Option{destseg.WithEngine(e), destseg.WithPrecision(o.precision), destseg.WithThreads(o.threads)},
	})
}
