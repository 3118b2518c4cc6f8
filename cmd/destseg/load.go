package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/destseg/destseg/client"
	"github.com/destseg/destseg/dataset"
	"github.com/destseg/destseg/internal/load"
	"github.com/destseg/destseg/serve/api"
)

type loadOptions struct {
	server, token string
	times         float64
	clients       int
	length        time.Duration
	json          string // file, "-" for the standard output, empty for none
}

func newLoad(c *console) *cobra.Command {
	o := loadOptions{server: "http://localhost:8080", times: 4, clients: 8, length: 2 * time.Minute}
	command := &cobra.Command{
		Use:   "load DETECTOR PICTURE…",
		Short: "Loads a service with more than it can do",
		Long: `load tells what a service that destseg serve has started makes of too much work. It
sends the pictures in turn, over and over: first one after the other, which tells the
overhead of the service; then from several clients that wait for their answers, which
tells how many pictures it can do; and then several times as many.

Of the last all are to be answered or refused with status 429, and the service's
memory is to stay what it was. Run both on machines, or at least processors, of their
own, and nothing else on them.`,
		Example: `  destseg load parts parts/test/good
  destseg load parts part.png --server http://line3:8080 --times 4 --time 2m --json load.json`,
		Args: arguments("DETECTOR", "PICTURE…"),
		RunE: func(command *cobra.Command, args []string) error {
			return o.run(command.Context(), c, args[0], args[1:])
		},
	}
	f := command.Flags()
	f.SortFlags = false
	serverFlags(f, &o.server, &o.token)
	parse := func(s string) (float64, error) {
		x, err := strconv.ParseFloat(s, 64)
		if err != nil || !(x > 0 && x <= 1000) {
			return 0, errors.New("expected a number above 0 and up to 1000")
		}
		return x, nil
	}
	f.Var(value[float64]{&o.times, "X", parse, func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }},
		"times", "as many pictures to send as the service can do")
	countFlag(f, &o.clients, 1, maxWorkers, "clients", "to find out what it can do")
	positiveDurationFlag(f, &o.length, "time", "to send too many; a twelfth of it for the rest each")
	f.StringVar(&o.json, "json", "", "`FILE` for everything as JSON, - for the standard output\nin place of the table; the format may change until version 1.0")
	return command
}

// A loadPhase is a line of the table.
type loadPhase struct {
	Name   string `json:"name"`
	Memory int64  `json:"memory"` // that the service holds after it, in bytes; 0: it does not tell
	load.Result
}

func (o loadOptions) run(ctx context.Context, c *console, detector string, args []string) error {
	paths, failures := dataset.Expand(args)
	if len(failures) > 0 {
		return failures[0].Err
	}
	if len(paths) == 0 {
		return errors.New("there are no pictures")
	}
	var pictures [][]byte
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		pictures = append(pictures, data)
	}
	// Refused requests are counted and not sent again; connections outlast the bursts.
	transport := &http.Transport{MaxIdleConnsPerHost: maxWorkers, Proxy: http.ProxyFromEnvironment}
	defer transport.CloseIdleConnections()
	token, err := readToken(o.token)
	if err != nil {
		return err
	}
	s, err := client.New(o.server, client.WithToken(token), client.WithPatience(0), client.WithHTTPClient(&http.Client{Transport: transport}))
	if err != nil {
		return wrongUsage("--server %w", err)
	}
	var next atomic.Int64
	send := func(ctx context.Context) (*api.Inspection, error) {
		i := int(next.Add(1)-1) % len(paths)
		return s.Inspect(ctx, client.Request{Detector: detector, Picture: pictures[i], Source: filepath.Base(paths[i])})
	}
	if _, err := send(ctx); err != nil { // reads the detector
		return fmt.Errorf("%s: %w", o.server, err)
	}

	short := o.length / 12
	var phases []loadPhase
	phase := func(name string, p load.Phase) load.Result {
		c.note("%s, for %v", name, p.Length)
		p.Send = send
		r := p.Run(ctx)
		phases = append(phases, loadPhase{name, serverMemory(ctx, transport, o.server, token), r})
		return r
	}
	phase("one after the other", load.Phase{Clients: 1, Length: short})
	most := phase("from "+formatCount(o.clients, "client"), load.Phase{Clients: o.clients, Length: short})
	if most.Answered > 0 {
		phase(fmt.Sprintf("%g times as many", o.times), load.Phase{Rate: o.times * most.Rate, Clients: maxWorkers, Length: o.length})
	}
	if ctx.Err() != nil {
		return errInterrupted
	}
	if err := o.report(c, phases); err != nil {
		return err
	}
	for _, p := range phases {
		if p.Failed > 0 {
			return fmt.Errorf("%s: %s neither answered nor refused, such as: %s", p.Name, formatCount(p.Failed, "request"), p.Failure)
		}
	}
	return nil
}

func (o loadOptions) report(c *console, phases []loadPhase) error {
	if o.json != "" {
		out, err := c.openResult(o.json)
		if err != nil {
			return err
		}
		defer out.discard()
		if err := writeJSON(out, struct {
			Note   string      `json:"note"`
			Phases []loadPhase `json:"phases"`
		}{formatNote, phases}); err != nil {
			return err
		}
		if err := out.finish(); err != nil || o.json == "-" {
			return err
		}
	}
	rows := [][]string{{"", "sent", "answered", "refused", "failed", "unsent", "answers/s", "ms median", "p95", "p99", "overhead ms", "memory"}}
	for _, p := range phases {
		held := "-"
		if p.Memory > 0 {
			held = formatBytes(p.Memory)
		}
		rows = append(rows, []string{
			p.Name, group(int64(p.Sent)), group(int64(p.Answered)), group(int64(p.Refused)), group(int64(p.Failed)), group(int64(p.Unsent)),
			fmt.Sprintf("%.1f", p.Rate), fmt.Sprintf("%.1f", p.Latency.Median), fmt.Sprintf("%.1f", p.Latency.P95), fmt.Sprintf("%.1f", p.Latency.P99),
			fmt.Sprintf("%.2f", p.Overhead.Median), held,
		})
	}
	fmt.Fprint(c.out, formatTable(rows))
	fmt.Fprintln(c.out, "\nOverhead is what of the time neither networks nor decoder took, nor waiting for other pictures.")
	return nil
}

// serverMemory asks a service for the memory that it holds, 0 if it does not tell.
func serverMemory(ctx context.Context, transport http.RoundTripper, server, token string) int64 {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(server, "/")+"/metrics", nil)
	if err != nil {
		return 0
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(io.LimitReader(response.Body, 10<<20)); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "process_resident_memory_bytes "); ok {
			bytes, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return 0
			}
			return int64(bytes)
		}
	}
	return 0
}
