package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/spf13/pflag"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/serve"
	"github.com/destseg/destseg/serve/api"
	"github.com/destseg/destseg/serve/history"
	"github.com/destseg/destseg/serve/host"
	"github.com/destseg/destseg/serve/watch"
)

// webhookSecretVariable is where the webhook's secret stands in the environment.
const webhookSecretVariable = "DESTSEG_WEBHOOK_SECRET"

// watchOptions say which folder the service watches, if any.
type watchOptions struct {
	dir              string // empty: none
	detector, state  string
	results, move    bool
	settle, patience time.Duration
	poll             time.Duration
	webhook, secret  string // URL, file
	giveUp           time.Duration
}

func (o *watchOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.dir, "watch", "", "`DIR` whose pictures are inspected as they appear, and those below it")
	f.StringVar(&o.detector, "watch-detector", "", "`NAME` of the detector for them; needed if there are several")
	f.BoolVar(&o.results, "watch-results", true, "write each result beside its picture, as NAME"+watch.ResultEnding)
	f.BoolVar(&o.move, "watch-move", false, "move inspected pictures, with their results, to ok, ng, unjudged and\nerror below DIR")
	positiveDurationFlag(f, &o.settle, "watch-settle", "for which a picture must not have changed")
	positiveDurationFlag(f, &o.patience, "watch-patience", "after which a picture that can't be decoded is damaged, and not\nunfinished")
	positiveDurationFlag(f, &o.poll, "watch-poll", "after which DIR is looked through again, for file systems that do not\ntell of changes")
	f.StringVar(&o.state, "watch-state", "", "`DIR` for what has to survive a restart (default: .destseg in the one\nwatched)")
	f.StringVar(&o.webhook, "webhook", "", "`URL` that is told of every result")
	f.StringVar(&o.secret, "webhook-secret", "", "`FILE` with the secret that signs events, 16 bytes or more; it may\nstand in "+webhookSecretVariable+" instead")
	positiveDurationFlag(f, &o.giveUp, "webhook-give-up", "after which an event that nobody took is put away")
}

// check refuses flags that have nothing to do.
func (o watchOptions) check(f *pflag.FlagSet) error {
	var err error
	f.Visit(func(flag *pflag.Flag) {
		switch flag.Name {
		case "watch-detector", "watch-results", "watch-move", "watch-settle", "watch-patience", "watch-poll", "watch-state", "webhook":
			if o.dir == "" && err == nil {
				err = wrongUsage("--%s goes with --watch", flag.Name)
			}
		case "webhook-secret", "webhook-give-up":
			if o.webhook == "" && err == nil {
				err = wrongUsage("--%s goes with --webhook", flag.Name)
			}
		}
	})
	return err
}

// watcher returns what watches the folder, ready to run.
func (o watchOptions) watcher(of serve.Config, server *serve.Server, results *history.History) (*watch.Watcher, error) {
	if !o.results && !o.move && o.webhook == "" && of.Recorder == nil {
		return nil, wrongUsage("--watch-results=false leaves nothing of what is found out about pictures; add --watch-move or --webhook")
	}
	detector, err := o.detectorOf(of.Host)
	if err != nil {
		return nil, err
	}
	hook, err := o.hook()
	if err != nil {
		return nil, err
	}
	return watch.New(watch.Config{
		Dir: o.dir, State: o.state, Results: o.results, Move: o.move, Settle: o.settle, Patience: o.patience, Poll: o.poll, MaxBytes: of.Limits.Body,
		Inspect: watched(server.Service(), results, detector), Webhook: hook, Log: of.Log, Metrics: server.Metrics(),
	})
}

// detectorOf returns the name of the detector for the folder.
func (o watchOptions) detectorOf(h *host.Host) (string, error) {
	if o.detector != "" {
		return o.detector, h.Check(o.detector)
	}
	cards, err := h.Cards()
	switch {
	case err != nil:
		return "", err
	case len(cards) != 1:
		return "", wrongUsage("--watch-detector is needed, since there are %s", formatCount(len(cards), "detector"))
	}
	return cards[0].Name, nil
}

// hook returns the webhook, or nil if there is none.
func (o watchOptions) hook() (*watch.Webhook, error) {
	if o.webhook == "" {
		return nil, nil
	}
	hook := &watch.Webhook{URL: o.webhook, GiveUp: o.giveUp}
	if err := hook.Check(); err != nil {
		return nil, wrongUsage("--webhook: %w", err)
	}
	text, from := os.Getenv(webhookSecretVariable), webhookSecretVariable
	if o.secret != "" {
		file, err := os.ReadFile(o.secret)
		if err != nil {
			return nil, err
		}
		text, from = string(file), o.secret
	}
	if text == "" && o.secret == "" {
		return hook, nil
	}
	var err error
	if hook.Secret, err = watch.ParseSecret(text); err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	return hook, nil
}

// Answers are those that were recorded, by the identity of the inspection.
type answers interface {
	Answer(ctx context.Context, id string) (api.Inspection, error)
}

// watched has pictures of the folder inspected by the service.
func watched(service *serve.Service, results answers, detector string) func(context.Context, watch.Picture) (*api.Inspection, error) {
	return func(ctx context.Context, p watch.Picture) (*api.Inspection, error) {
		// Recorded by a process that was killed before it was done with the picture?
		if in, err := results.Answer(ctx, p.ID); err == nil {
			return &in, nil
		}
		for {
			// What is begun is finished when the service ends; it has a time limit of its own.
			in, err := service.Inspect(context.WithoutCancel(ctx), serve.Request{
				Detector: detector, Data: p.Data, Source: p.Path, ID: p.ID, Arrival: p.Arrival,
			})
			var busy *host.BusyError
			switch {
			case errors.As(err, &busy): // others go on asking too
				if !sleep(ctx, busy.RetryAfter) {
					return nil, context.Cause(ctx)
				}
				continue
			case err != nil && picturesFault(err) && !errors.Is(err, destseg.ErrPicture):
				err = fmt.Errorf("%w: %w", destseg.ErrPicture, err)
			}
			return in, err
		}
	}
}

// picturesFault reports whether another try with the same picture is in vain.
func picturesFault(err error) bool {
	status := serve.ProblemOf(err).Status
	return status == http.StatusUnprocessableEntity || status == http.StatusRequestEntityTooLarge
}

// sleep waits, and reports whether it could do so to the end.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
