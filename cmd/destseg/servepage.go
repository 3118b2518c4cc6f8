package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/serve"
	"github.com/destseg/destseg/serve/history"
	"github.com/destseg/destseg/serve/host"
	"github.com/destseg/destseg/serve/page"
)

// historyOptions say where results are kept, and for how long.
type historyOptions struct {
	file string // "": in memory
	age  time.Duration
	size int64
}

// memoryHistory limits what is kept without a file, for the page alone.
const memoryHistory = 64 << 20

func (o *historyOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.file, "history", "", "SQLite `FILE` that keeps results; it is made if it is not there")
	f.Var(value[time.Duration]{&o.age, "TIME", parseAge, formatAge}, "history-age", "remove results that are older, as in 90d or 12h. 0: none")
	bytesFlag(f, &o.size, "history-size", "remove the oldest results when they take more. 0: no limit")
}

// parseAge reads a time in days or as Go writes it.
func parseAge(s string) (time.Duration, error) {
	wrong := errors.New("expected a time, as in 90d or 12h")
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, wrong
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, wrong
	}
	return d, nil
}

func formatAge(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	if days := d / (24 * time.Hour); days*24*time.Hour == d {
		return strconv.FormatInt(int64(days), 10) + "d"
	}
	return d.String()
}

func (o historyOptions) open(ctx context.Context, log *slog.Logger) (*history.History, error) {
	if o.file == "" {
		return history.InMemory(ctx, history.Options{Bytes: memoryHistory, Log: log})
	}
	return history.Open(ctx, o.file, history.Options{Age: o.age, Bytes: o.size, Log: log})
}

// addPage adds the page for the browser to a server.
func addPage(server *serve.Server, h *host.Host, results *history.History, log *slog.Logger) error {
	var recorder serve.Recorder
	if results.InMemory() { // else all results come there
		recorder = results
	}
	p, err := page.New(page.Options{
		Detectors: h, History: results, Inspect: server.Inspecting(recorder), Log: log,
		Unknown: func(err error) bool { return errors.Is(err, host.ErrUnknown) },
		Facts: func(r destseg.Record) (made, threshold [][2]string) {
			return slices.Concat(recordRows(r), settingsRows(r.Regions)), thresholdRows(r.Threshold)
		},
		MayMark: func(r *http.Request) bool { return server.Allows(r, serve.Admin) },
	})
	if err != nil {
		return err
	}
	for _, route := range p.Routes() {
		right := serve.Read
		if route.Marks {
			right = serve.Admin
		}
		server.Handle(route.Pattern, right, route.Handler)
	}
	return nil
}
