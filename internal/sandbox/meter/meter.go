// Package meter counts what a sandbox does, in the form that Prometheus reads.
package meter

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Meter holds the counters of one sandbox. Nothing is registered globally, so
// that several sandboxes run in one process.
type Meter struct {
	registry *prometheus.Registry
	calls    *prometheus.CounterVec
	callTime *prometheus.HistogramVec
	requests *prometheus.CounterVec
	workTime *prometheus.HistogramVec
}

// State is what is looked up when the counters are read.
type State struct {
	Processes, Down, Restarts, InFlight int
	Workers, Databases, Namespaces      int
}

// New makes the counters; state is asked each time they are read.
func New(state func() State) *Meter {
	m := &Meter{
		registry: prometheus.NewRegistry(),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sandbox_api_calls_total",
			Help: "Calls of the API, by method, route and HTTP status."}, []string{"method", "route", "status"}),
		callTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sandbox_api_call_seconds",
			Help: "How long calls of the API took.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 8)}, []string{"method", "route"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sandbox_worker_requests_total",
			Help: "Requests to Workers, by HTTP status."}, []string{"worker", "status"}),
		workTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sandbox_worker_request_seconds",
			Help: "How long requests to Workers took until the last byte.", Buckets: prometheus.ExponentialBuckets(0.0005, 4, 9)}, []string{"worker"}),
	}
	m.registry.MustRegister(m.calls, m.callTime, m.requests, m.workTime, stateCollector(state))
	return m
}

// Call counts one call of the API. Route is the pattern, not the path: there
// are few of them.
func (m *Meter) Call(method, route string, status int, took time.Duration) {
	m.calls.WithLabelValues(method, route, strconv.Itoa(status)).Inc()
	m.callTime.WithLabelValues(method, route).Observe(took.Seconds())
}

// Request counts one request to a Worker.
func (m *Meter) Request(worker string, status int, took time.Duration) {
	m.requests.WithLabelValues(worker, strconv.Itoa(status)).Inc()
	m.workTime.WithLabelValues(worker).Observe(took.Seconds())
}

// Handler shows the counters.
func (m *Meter) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// stateCollector shows the figures of a State, each under its name.
type stateCollector func() State

// Describe implements prometheus.Collector.
func (c stateCollector) Describe(out chan<- *prometheus.Desc) {
	prometheus.DescribeByCollect(stateCollector(func() State { return State{} }), out)
}

// Collect implements prometheus.Collector.
func (c stateCollector) Collect(out chan<- prometheus.Metric) {
	s := c()
	for _, g := range []struct {
		name, help string
		kind       prometheus.ValueType
		value      int
	}{
		{"sandbox_workerd_processes", "Processes that serve Workers.", prometheus.GaugeValue, s.Processes},
		{"sandbox_workerd_down", "Processes that have ended and are not back yet.", prometheus.GaugeValue, s.Down},
		{"sandbox_workerd_restarts_total", "How often processes that serve now ended by themselves.", prometheus.CounterValue, s.Restarts},
		{"sandbox_worker_requests_in_flight", "Requests to Workers that have not ended.", prometheus.GaugeValue, s.InFlight},
		{"sandbox_workers", "Workers.", prometheus.GaugeValue, s.Workers},
		{"sandbox_d1_databases", "D1 databases.", prometheus.GaugeValue, s.Databases},
		{"sandbox_kv_namespaces", "KV namespaces.", prometheus.GaugeValue, s.Namespaces},
	} {
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc(g.name, g.help, nil, nil), g.kind, float64(g.value))
	}
}
