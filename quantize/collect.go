package quantize

import (
	"errors"
	"fmt"
	"math"
)

// ErrNotFinite is wrapped by the error for a network that gives numbers that are not
// finite.
var ErrNotFinite = errors.New("numbers that are not finite")

// A Collector gathers what a network computes for some pictures. It is for one goroutine
// at a time.
type Collector struct {
	points     []Point
	histograms []histogram
}

// NewCollector returns a collector for what [Observe] has returned.
func NewCollector(points []Point) *Collector {
	return &Collector{points, make([]histogram, len(points))}
}

// Add takes the values of all points from a run of the observed network; read is the
// program's.
func (c *Collector) Add(read func(name string, v []float32) error) error {
	room := 0
	for _, p := range c.points {
		room = max(room, p.Shape.Size())
	}
	values := make([]float32, room)
	for i, p := range c.points {
		v := values[:p.Shape.Size()]
		if err := read(p.Output, v); err != nil {
			return err
		}
		if !c.histograms[i].add(v) {
			return fmt.Errorf("%w: %s", ErrNotFinite, p.name())
		}
	}
	return nil
}

// name is what errors call a point.
func (p Point) name() string {
	if len(p.inputs) > 0 {
		return fmt.Sprintf("what the convolution %q reads", p.inputs[0])
	}
	return fmt.Sprintf("what the convolution %q gives", p.sum)
}

// A Method chooses how far the levels of a tensor reach.
type Method struct {
	// Percentile is the share of a tensor's numbers that the levels cover, up to 1.
	// 0: as many as make the mean square error the least.
	Percentile float64
}

// Steps chooses the steps. It is an error if what a convolution reads has both signs.
func (c *Collector) Steps(m Method) (Steps, error) {
	s := Steps{Inputs: map[string]float64{}, Sums: map[string]float64{}}
	for i, p := range c.points {
		h := &c.histograms[i]
		if len(p.inputs) > 0 && h.positive && h.negative {
			return Steps{}, fmt.Errorf("%s has both signs; only what has one can be quantized", p.name())
		}
		size := m.step(h, levels-1)
		if h.negative {
			size = -size
		}
		for _, name := range p.inputs {
			s.Inputs[name] = size
		}
		if p.sum != "" {
			s.Sums[p.sum] = m.step(h, levels/2-1)
		}
	}
	return s, nil
}

// step returns the step with which most levels reach as far as the method wants.
func (m Method) step(h *histogram, most int) float64 {
	reach := 0.0
	if m.Percentile == 0 {
		reach = h.limit(most)
	} else {
		reach = h.percentile(m.Percentile)
	}
	if reach == 0 { // nothing but zeros, which every step keeps
		reach = 1
	}
	return math.Min(math.Max(reach/float64(most), smallestStep), largestStep)
}
