package destseg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/destseg/destseg/dataset"
	"github.com/destseg/destseg/metric"
)

// A Comparison tells how two detectors, A and B, differ on the same test pictures.
type Comparison struct {
	A Evaluation `json:"a"` // its Seconds are those of both
	B Evaluation `json:"b"` // of the same pictures

	Segmentation []Difference `json:"segmentation"` // by the segmentation maps
	DeST         []Difference `json:"dest"`

	Resamples  int      `json:"resamples"`
	Seed       uint64   `json:"seed"`
	Confidence float64  `json:"confidence"` // of each interval, such as 0.95
	Protocol   []string `json:"protocol"`   // sentences, see [Compare]
}

// A Difference is that of one figure. What is not defined for both detectors is nil.
type Difference struct {
	Key        string   `json:"key"`
	Name       string   `json:"name"`
	A          *float64 `json:"a"`
	B          *float64 `json:"b"`
	Difference *float64 `json:"difference"` // B − A
	Low        *float64 `json:"low"`        // ends of the interval
	High       *float64 `json:"high"`
	Missing    string   `json:"missing,omitempty"` // why all are nil
}

// BeyondChance reports whether the interval leaves out 0.
func (d Difference) BeyondChance() bool {
	return d.Low != nil && (*d.Low > 0 || *d.High < 0)
}

// CompareOptions say how a comparison is made. The zero value is the usual way.
type CompareOptions struct {
	Resamples  int     // 2,000 if 0; at least 100
	Seed       uint64  // every random choice follows from it
	Confidence float64 // 0.95 if 0; below 1
	// Inspected is called, if it is not nil, after each picture, and Resampled now and
	// then, both from Compare's goroutine.
	Inspected, Resampled func(done, total int)
}

// UsualResamples and UsualConfidence are those of a zero [CompareOptions].
const (
	UsualResamples  = 2000
	UsualConfidence = 0.95
)

// thresholds is about how many of them stand for all values of a map while sets are
// resampled.
const thresholds = 4096

// Compare measures two detectors on the test pictures of a set, as [Evaluate] does,
// and tells for each figure how sure its difference is.
//
// The interval is that of the percentile bootstrap (Efron and Tibshirani, An
// Introduction to the Bootstrap, 1993, chapter 13): test sets of the same size are
// drawn with replacement from the pictures, each gives a difference B − A, and the
// interval holds the middle of these. Whole pictures are drawn, since the pixels of
// one are not independent; the same ones for both detectors, so that what makes a
// picture difficult for both cancels out; and good and defective ones apart (as in
// Robin et al., pROC, BMC Bioinformatics 2011), so that every set has as many of
// each. It tells what other test pictures of the kind might have given, not what
// another training might have.
//
// A and B of each figure are exact. For the figures of a drawn set, map values count
// as the next lower of about 4,096 thresholds, which cut the defect pixels and the
// background pixels of each detector into equal parts ([metric.Resampler]). The
// Protocol tells by how much this changes the figures of the set itself, at most.
//
// A drawn set that does not define a figure, for want of defect pixels, has no part in
// its interval.
//
// Pictures that can't be measured by both detectors are left out for both. The maps
// of all others are kept, at a quarter of the network size, and their masks at network
// size: about 200 KB a picture for detectors of 256×256.
//
// Errors are those of [Evaluate].
func Compare(ctx context.Context, a, b *Detector, set *dataset.Set, o CompareOptions) (Comparison, error) {
	o.Resamples = max(cmp.Or(o.Resamples, UsualResamples), 100)
	o.Confidence = cmp.Or(o.Confidence, UsualConfidence)
	if !(o.Confidence > 0 && o.Confidence < 1) {
		return Comparison{}, fmt.Errorf("a confidence of %v; it lies between 0 and 1", o.Confidence)
	}
	if len(set.Test) == 0 {
		return Comparison{}, noTest(set)
	}
	p := paired{start: time.Now(), a: newMeasurement(a, set), b: newMeasurement(b, set)}
	if err := p.inspect(ctx, a, b, set.Test, o.Inspected); err != nil {
		return Comparison{}, err
	}
	if len(p.kept) == 0 {
		return Comparison{}, fmt.Errorf("%w: %s: of %d test pictures none could be measured; the first: %s",
			ErrNoPictures, set.Root, len(set.Test), p.a.failed[0].Error)
	}
	c := Comparison{
		A: p.a.evaluation(a, p.start), B: p.b.evaluation(b, p.start),
		Resamples: o.Resamples, Seed: o.Seed, Confidence: o.Confidence,
	}
	segmentation, dest, err := p.resamplers()
	if err != nil {
		return Comparison{}, err
	}
	draws := newDraws(p.kept, o)
	if c.Segmentation, err = draws.differences(ctx, segmentation, c.A.Segmentation, c.B.Segmentation, 0); err != nil {
		return Comparison{}, err
	}
	if c.DeST, err = draws.differences(ctx, dest, c.A.DeST, c.B.DeST, 1); err != nil {
		return Comparison{}, err
	}
	c.Protocol = []string{
		fmt.Sprintf("difference: B − A; interval: %g %%, percentile bootstrap, %d test sets drawn with seed %d", 100*o.Confidence, o.Resamples, o.Seed),
		"drawn are whole pictures, the same for both detectors, as many good and defective ones as there are",
		fmt.Sprintf("pixel figures of drawn sets by about %d thresholds a map, which changes those of the set itself by at most %.1g", thresholds, draws.off),
		"the intervals tell what other test pictures might have given, not what another training might have",
		fmt.Sprintf("of equally good detectors, an interval leaves out 0 in %.2g of 100 cases all the same", 100*(1-o.Confidence)),
	}
	return c, nil
}

// noTest is the error for a set without test pictures.
func noTest(set *dataset.Set) error {
	return fmt.Errorf("%w: %s has no test pictures; put them into test/good and test/DEFECT", ErrNoPictures, set.Root)
}

// A pair of resamplers is for one map of A and B.
type pair [2]*metric.Resampler

// paired gathers the pictures that both detectors have measured.
type paired struct {
	start time.Time
	a, b  *measurement
	kept  [][2]labelled
}

// inspect takes all pictures, or those until ctx ends.
func (p *paired) inspect(ctx context.Context, a, b *Detector, samples []dataset.Sample, progress func(done, total int)) error {
	done := 0
	for t := range ahead(ctx, samples, func(s dataset.Sample) [2]labelled {
		return [2]labelled{a.inspectSample(ctx, s), b.inspectSample(ctx, s)}
	}) {
		p.add(t)
		done++
		if progress != nil {
			progress(done, len(samples))
		}
	}
	if done < len(samples) {
		return context.Cause(ctx)
	}
	return nil
}

// add takes a picture as both detectors have seen it.
func (p *paired) add(t [2]labelled) {
	err := errors.Join(t[0].Err, t[1].Err)
	if t[0].Err != nil { // usually the same, twice
		err = t[0].Err
	}
	t[0].Err, t[1].Err = err, err
	p.a.add(&t[0])
	p.b.add(&t[1])
	if err == nil {
		t[0].Picture, t[1].Picture, t[0].Mask, t[1].Mask = nil, nil, nil, nil // no longer needed
		p.kept = append(p.kept, t)
	}
}

// resamplers makes those of the segmentation maps and of the DeST maps.
func (p *paired) resamplers() (segmentation, dest pair, err error) {
	for i, m := range []*measurement{p.a, p.b} {
		segmentation[i] = metric.NewResampler(m.segmentation.Thresholds(thresholds))
		dest[i] = metric.NewResampler(m.dest.Thresholds(thresholds))
		for _, t := range p.kept {
			s, d := t[i].samples()
			if err := segmentation[i].Add(s); err != nil {
				return segmentation, dest, err
			}
			if err := dest[i].Add(d); err != nil {
				return segmentation, dest, err
			}
		}
	}
	return segmentation, dest, nil
}

// draws are resampled test sets.
type draws struct {
	strata  [2][]int // numbers of the good pictures and of the defective ones
	options CompareOptions
	off     float64 // largest error by thresholds that was met
}

func newDraws(kept [][2]labelled, o CompareOptions) *draws {
	d := &draws{options: o}
	for i, t := range kept {
		stratum := &d.strata[0]
		if t[0].Defective {
			stratum = &d.strata[1]
		}
		*stratum = append(*stratum, i)
	}
	return d
}

// times tells how often each picture is in the n-th set.
func (d *draws) times(n int) []int {
	random := rand.New(rand.NewPCG(d.options.Seed, uint64(n)))
	times := make([]int, len(d.strata[0])+len(d.strata[1]))
	for _, stratum := range d.strata {
		for range stratum {
			times[stratum[random.IntN(len(stratum))]]++
		}
	}
	return times
}

// differences measures all sets. a and b are the exact figures; part, 0 or 1, is
// which half of the work this is.
func (d *draws) differences(ctx context.Context, p pair, a, b metric.Result, part int) ([]Difference, error) {
	total := d.options.Resamples
	drawn := make([][8]float64, total) // by set and figure; NaN where not defined
	var wait sync.WaitGroup
	var next atomic.Int64
	finished := make(chan struct{}, total)
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for n := int(next.Add(1)) - 1; n < total && ctx.Err() == nil; n = int(next.Add(1)) - 1 {
				times := d.times(n)
				drawn[n] = between(p[0].Result(times), p[1].Result(times))
				finished <- struct{}{}
			}
		})
	}
	go func() {
		wait.Wait()
		close(finished)
	}()
	done := 0
	for range finished {
		done++
		if d.options.Resampled != nil {
			d.options.Resampled(part*total+done, 2*total)
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}

	ones := slices.Repeat([]int{1}, len(d.strata[0])+len(d.strata[1]))
	for i, exact := range []metric.Result{a, b} {
		for _, v := range between(exact, p[i].Result(ones)) {
			if !math.IsNaN(v) {
				d.off = max(d.off, math.Abs(v))
			}
		}
	}
	var list []Difference
	ofA, ofB, whole := qualities(a), qualities(b), between(a, b)
	for i, f := range ofA {
		one := Difference{Key: f.Key, Name: f.Name, A: f.Value, B: ofB[i].Value, Missing: cmp.Or(f.Missing, ofB[i].Missing)}
		if one.Missing == "" {
			var defined []float64
			for _, set := range drawn {
				if !math.IsNaN(set[i]) {
					defined = append(defined, set[i])
				}
			}
			one.Difference = new(whole[i])
			one.Low, one.High = interval(defined, d.options.Confidence)
		}
		list = append(list, one)
	}
	return list, nil
}

// qualities are the figures but for the threshold of the best F1, which is not better
// if it is higher.
func qualities(r metric.Result) []metric.Figure {
	return slices.DeleteFunc(r.Figures(), func(f metric.Figure) bool { return f.Key == "pixel_f1_threshold" })
}

// values are those of the qualities, in their order; without the texts that these
// carry they cost nothing.
func values(r metric.Result) [8]*float64 {
	return [...]*float64{r.ImageAUROC, r.ImageAP, r.PixelAUROC, r.PixelAP, r.PixelF1, r.AUPRO, r.IAP, r.IAP90}
}

// between returns b − a for each of the qualities, NaN where one is not defined.
func between(a, b metric.Result) [8]float64 {
	ofA, ofB := values(a), values(b)
	var list [8]float64
	for i := range list {
		list[i] = math.NaN()
		if ofA[i] != nil && ofB[i] != nil {
			list[i] = *ofB[i] - *ofA[i]
		}
	}
	return list
}

// interval returns the ends of the middle part of values, nil without any. It sorts
// them.
func interval(values []float64, confidence float64) (low, high *float64) {
	if len(values) == 0 {
		return nil, nil
	}
	slices.Sort(values)
	// The k-th of n values is the quantile k/(n+1); between two, in proportion.
	at := func(quantile float64) *float64 {
		place := min(max(quantile*float64(len(values)+1)-1, 0), float64(len(values)-1))
		below := int(place)
		above := min(below+1, len(values)-1)
		rest := place - float64(below)
		return new(values[below]*(1-rest) + values[above]*rest)
	}
	tail := (1 - confidence) / 2
	return at(tail), at(1 - tail)
}
