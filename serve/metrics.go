package serve

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/serve/api"
	"github.com/destseg/destseg/serve/host"
)

// metrics are what Prometheus reads.
type metrics struct {
	registry *prometheus.Registry
	seconds  *prometheus.HistogramVec // by detector and stage
	score    *prometheus.HistogramVec // by detector
	verdicts *prometheus.CounterVec   // by detector and verdict
	requests *prometheus.CounterVec   // by route and status
	calls    *prometheus.CounterVec   // over gRPC, by method and code
}

func newMetrics(h *host.Host) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "destseg_inspection_seconds", Help: "Time of inspections by stage.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"detector", "stage"}),
		score: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "destseg_score", Help: "Scores of inspected pictures; a distribution that moves tells of drift.",
			Buckets: prometheus.LinearBuckets(.05, .05, 19),
		}, []string{"detector"}),
		verdicts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "destseg_verdicts_total", Help: "Inspected pictures by verdict: OK, NG, or none without a threshold.",
		}, []string{"detector", "verdict"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "destseg_http_requests_total", Help: "Answered requests by route and status; 429 are those that the full queue refused.",
		}, []string{"route", "status"}),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "destseg_grpc_requests_total", Help: "Answered requests over gRPC by method and code; ResourceExhausted are those that the full queue refused.",
		}, []string{"method", "code"}),
	}
	m.registry.MustRegister(
		m.seconds, m.score, m.verdicts, m.requests, m.calls, hostCollector{h},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "destseg_build_info", Help: "1, with the program's version.",
			ConstLabels: prometheus.Labels{"version": destseg.Version()},
		}, func() float64 { return 1 }),
	)
	return m
}

// observe counts an inspection, whose recording took so long.
func (m *metrics) observe(in *api.Inspection, recording time.Duration) {
	name, t := in.Detector.Name, in.Timings
	for stage, took := range map[string]float64{
		"read": t.Read, "decode": t.Decode, "load": t.Load, "queue": t.Queue, "prepare": t.Prepare,
		"networks": t.Networks, "regions": t.Regions, "paint": t.Paint, "total": t.Total, "record": milliseconds(recording),
	} {
		m.seconds.WithLabelValues(name, stage).Observe(took / 1000)
	}
	m.score.WithLabelValues(name).Observe(in.Score)
	verdict := in.Verdict
	if verdict == "" {
		verdict = "none"
	}
	m.verdicts.WithLabelValues(name, verdict).Inc()
}

// answered counts a request.
func (m *metrics) answered(route string, status int) {
	if route == "" {
		route = "other"
	}
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// A hostCollector reads a host's counts when they are asked for.
type hostCollector struct{ host *host.Host }

var (
	queueWaiting = prometheus.NewDesc("destseg_queue_waiting", "Pictures that wait for their turn.", nil, nil)
	queueWorking = prometheus.NewDesc("destseg_queue_working", "Pictures that are decoded, inspected or painted.", nil, nil)
	queuePlaces  = prometheus.NewDesc("destseg_queue_places", "Places for both.", nil, nil)
	loaded       = prometheus.NewDesc("destseg_detectors_loaded", "Detectors in memory.", nil, nil)
	memory       = prometheus.NewDesc("destseg_detectors_memory_bytes", "Memory that they take.", nil, nil)
	loads        = prometheus.NewDesc("destseg_detector_loads_total", "Detectors read.", nil, nil)
	evictions    = prometheus.NewDesc("destseg_detector_evictions_total", "Detectors that left for want of memory.", nil, nil)
	failures     = prometheus.NewDesc("destseg_detector_failures_total", "Detectors' files that could not be used.", nil, nil)
)

// Describe implements prometheus.Collector.
func (hostCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{queueWaiting, queueWorking, queuePlaces, loaded, memory, loads, evictions, failures} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c hostCollector) Collect(to chan<- prometheus.Metric) {
	s := c.host.Stats()
	gauge := func(d *prometheus.Desc, v float64) { to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	counter := func(d *prometheus.Desc, n int) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n))
	}
	gauge(queueWaiting, float64(s.Waiting))
	gauge(queueWorking, float64(s.Working))
	gauge(queuePlaces, float64(s.Places))
	gauge(loaded, float64(s.Loaded))
	gauge(memory, float64(s.Memory))
	counter(loads, s.Loads)
	counter(evictions, s.Evicted)
	counter(failures, s.Failures)
}
