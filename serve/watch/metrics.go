package watch

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what Prometheus reads about the folder and the webhook.
type metrics struct {
	waiting  atomic.Int64           // candidates
	pictures *prometheus.CounterVec // by outcome
	events   *prometheus.CounterVec // by answer
}

// register makes the metrics, for r unless it is nil.
func (w *Watcher) register(r prometheus.Registerer) error {
	w.metrics = &metrics{
		pictures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "destseg_watch_pictures_total", Help: "Pictures of the watched folder that are done with: ok, ng, unjudged or error.",
		}, []string{"outcome"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "destseg_webhook_events_total", Help: "Tries to deliver events: acknowledged, refused, or failed; and those given up.",
		}, []string{"answer"}),
	}
	all := []prometheus.Collector{w.metrics.pictures, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "destseg_watch_waiting", Help: "Pictures of the watched folder that are not done with.",
	}, func() float64 { return float64(w.metrics.waiting.Load()) })}
	if w.outbox != nil {
		w.outbox.tries = w.metrics.events
		all = append(all, w.metrics.events, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "destseg_webhook_waiting", Help: "Events that nobody has acknowledged yet.",
		}, func() float64 { return float64(w.outbox.count.Load()) }))
	}
	if r == nil {
		return nil
	}
	for _, c := range all {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}
