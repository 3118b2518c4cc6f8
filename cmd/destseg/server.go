package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/spf13/pflag"

	"github.com/destseg/destseg/client"
	"github.com/destseg/destseg/internal/wholefile"
	"github.com/destseg/destseg/serve/api"
)

// tokenVariable is where the token for a server stands in the environment.
const tokenVariable = "DESTSEG_TOKEN"

func serverFlags(f *pflag.FlagSet, server, token *string) {
	f.StringVar(server, "server", *server, "`URL` of a service that judges, as in http://localhost:8080")
	f.StringVar(token, "token-file", "", "`FILE` with the token that it needs")
}

// readToken reads a token from a file, or else from the environment.
func readToken(path string) (string, error) {
	if path == "" {
		return os.Getenv(tokenVariable), nil
	}
	text, err := os.ReadFile(path)
	return strings.TrimSpace(string(text)), err
}

// checkServer refuses flags that have nothing to do where a server judges, or does not.
func (o predictOptions) checkServer(f *pflag.FlagSet) error {
	if o.server == "" {
		if o.token != "" {
			return wrongUsage("--token-file goes with --server")
		}
		return nil
	}
	var here []string
	f.Visit(func(flag *pflag.Flag) {
		switch flag.Name {
		case "format", "output", "overlays", "masks", "maps", "map-format", "server", "token-file":
		default:
			here = append(here, "--"+flag.Name)
		}
	})
	if len(here) > 0 {
		return wrongUsage("%s: not with --server, whose detectors are used as they are", strings.Join(here, ", "))
	}
	return nil
}

// there judges by a detector of a server.
func (o predictOptions) there(ctx context.Context, detector string) (judging, error) {
	token, err := readToken(o.token)
	if err != nil {
		return nil, err
	}
	c, err := client.New(o.server, client.WithToken(token))
	if err != nil {
		return nil, wrongUsage("--server %w", err)
	}
	// Asked once, so that a wrong address is told at once. An outage later is waited out.
	first, err := client.New(o.server, client.WithToken(token), client.WithPatience(0))
	if err != nil {
		return nil, err
	}
	card, err := first.Detector(ctx, detector)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.server, err)
	}
	if o.masks != "" && card.PixelThreshold == nil {
		return nil, fmt.Errorf("--masks needs a threshold, and %s has none; destseg calibrate chooses one", detector)
	}
	remote := &remote{client: c, detector: detector, options: o}
	return func(ctx context.Context, paths []string) iter.Seq[func(pictureFiles) judged] {
		return func(yield func(func(pictureFiles) judged) bool) {
			for _, path := range paths {
				if ctx.Err() != nil || !yield(func(to pictureFiles) judged { return remote.judge(ctx, path, to) }) {
					return
				}
			}
		}
	}, nil
}

// A remote judges by a detector of a server.
type remote struct {
	client   *client.Client
	detector string
	options  predictOptions
	lost     atomic.Pointer[error] // why the server was lost, if so; it is not waited for again with each picture
}

// judge has the server judge a picture and writes the files that come back.
func (r *remote) judge(ctx context.Context, path string, to pictureFiles) judged {
	unread := func(err error) judged {
		return judged{prediction: prediction{Path: path, Error: told(err)}, unread: err}
	}
	if lost := r.lost.Load(); lost != nil {
		return unread(fmt.Errorf("%s: not sent: %w", path, *lost))
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return unread(err)
	}
	request := client.Request{
		Detector: r.detector, Picture: data, Source: filepath.Base(path), Overlay: to.overlay != "", Mask: to.mask != "",
	}
	if to.values != "" {
		request.Map = r.options.mapFormat.String()
	}
	in, err := r.client.Inspect(ctx, request)
	if err != nil {
		if p := (*api.Problem)(nil); !errors.As(err, &p) {
			r.lost.Store(&err)
		}
		return unread(fmt.Errorf("%s: %w", path, err))
	}
	j := judged{prediction: prediction{Path: path, Judgement: in.Judgement}}
	for _, file := range []struct {
		path    string
		content []byte
		told    *string
	}{{to.overlay, in.Overlay, &j.Overlay}, {to.mask, in.Mask, &j.Mask}, {to.values, in.Map, &j.Map}} {
		if file.path != "" {
			*file.told = j.wrote(file.path, wholefile.Write(file.path, func(w io.Writer) error {
				_, err := w.Write(file.content)
				return err
			}))
		}
	}
	return j
}
