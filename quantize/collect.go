package quantize

import (
	"errors"
	"fmt"
	"slices"
)

// ErrNotFinite is wrapped by the error for a network that gives numbers that are not
// finite.
var ErrNotFinite = errors.New("numbers that are not finite")

// A Collector gathers what a network computes for some pictures: for each run and each
// point the reach of the levels with the least mean square error, and chooses steps with
// which nine runs in ten have theirs. It is for one goroutine at a time.
type Collector struct {
	points  []Point
	seen    []seen // of each point
	values  []float32
	counted histogram
}

// seen is what a collector keeps of a point.
type seen struct {
	reaches            []float64 // of the levels, one for each run with another number than 0
	positive, negative bool
}

// NewCollector returns a collector for what [Observe] has returned.
func NewCollector(points []Point) *Collector {
	room := 0
	for _, p := range points {
		room = max(room, p.Shape.Size())
	}
	return &Collector{points: points, seen: make([]seen, len(points)), values: make([]float32, room)}
}

// Add takes the values of all points from a run of the observed network; read is the
// program's. A run may be over one picture or several.
func (c *Collector) Add(read func(name string, v []float32) error) error {
	for i, p := range c.points {
		v, h, s := c.values[:p.Shape.Size()], &c.counted, &c.seen[i]
		if err := read(p.Output, v); err != nil {
			return err
		}
		if !h.count(v) {
			return fmt.Errorf("%w: %s", ErrNotFinite, p.name())
		}
		s.positive, s.negative = s.positive || h.positive, s.negative || h.negative
		if h.width > 0 {
			s.reaches = append(s.reaches, h.reach(p.levels()))
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

// levels is the highest level of a point.
func (p Point) levels() int {
	if len(p.inputs) > 0 {
		return levels - 1
	}
	return levels/2 - 1
}

// Steps chooses the steps. A point for which runs differ so much that the middle one
// would have less than a quarter of the levels gets none. It is an error if what a
// convolution reads has both signs.
func (c *Collector) Steps() (Steps, error) {
	s := Steps{Inputs: map[string]float64{}, Sums: map[string]float64{}}
	for i, p := range c.points {
		seen := &c.seen[i]
		if len(p.inputs) > 0 && seen.positive && seen.negative {
			return Steps{}, fmt.Errorf("%s has both signs; only what has one can be quantized", p.name())
		}
		reach, middle := seen.reach()
		if reach > 4*middle {
			continue
		}
		step := min(max(reach/float64(p.levels()), smallestStep), largestStep)
		if seen.negative && len(p.inputs) > 0 {
			step = -step
		}
		for _, name := range p.inputs {
			s.Inputs[name] = step
		}
		if p.sum != "" {
			s.Sums[p.sum] = step
		}
	}
	return s, nil
}

// reach is that of the levels for nine runs in ten, and for the middle one. A good
// picture unlike the others may make numbers a hundred times as large, which would leave
// no levels for those of the others.
func (s *seen) reach() (most, middle float64) {
	if len(s.reaches) == 0 {
		return 1, 1 // nothing but zeros, which every step keeps
	}
	sorted := slices.Sorted(slices.Values(s.reaches))
	last := len(sorted) - 1
	return sorted[9*last/10], sorted[last/2]
}
