package serve

import (
	"testing"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/internal/detectortest"
	"github.com/destseg/destseg/serve/host"
)

// BenchmarkService measures what the service adds to the networks, in whose place
// stands a map with two defects: a picture of 256×256 goes in over HTTP, the answer
// comes out. The time for decoding is part of it and reported besides.
func BenchmarkService(b *testing.B) {
	r := start(b, host.Options{Options: []destseg.Option{destseg.WithEngine(detectortest.Stub{}), destseg.WithRecord(func(r *destseg.Record) {
		r.Preprocessing = destseg.StandardPreprocessing(256, 256)
	})}}, Config{})
	data := pngOf(b, noise(1, 256, 256))
	r.inspect(b, "", data)
	var decode, prepare, regions float64
	for b.Loop() {
		in := r.inspect(b, "", data)
		decode += in.Timings.Decode
		prepare += in.Timings.Prepare
		regions += in.Timings.Regions
	}
	b.ReportMetric(decode/float64(b.N), "decode-ms/op")
	b.ReportMetric(prepare/float64(b.N), "prepare-ms/op")
	b.ReportMetric(regions/float64(b.N), "regions-ms/op")
}
