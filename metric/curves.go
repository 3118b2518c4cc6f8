package metric

import "math"

// A Point is one point of a curve, both coordinates from 0 to 1.
type Point struct{ X, Y float64 }

// Curves are for drawing; the figures never come from them. A curve whose
// figure is not defined has no points.
type Curves struct {
	ImageROC Curve `json:"image_roc,omitempty"` // recall over false positive rate
	ImagePR  Curve `json:"image_pr,omitempty"`  // precision over recall
	PixelROC Curve `json:"pixel_roc,omitempty"` // recall over false positive rate
	PixelPR  Curve `json:"pixel_pr,omitempty"`  // precision over recall
	PRO      Curve `json:"pro,omitempty"`       // mean component overlap over false positive rate, to 1
	IAP      Curve `json:"iap,omitempty"`       // interpolated pixel precision over instance recall
}

// Curves returns the curves of all samples added so far, with no more than n
// points each, n at least 4 (less is taken as 4): points of the exact curve,
// left out where they lie closer together than n can show. ROC and PRO begin
// at (0, 0); PR begins at the largest score and ends at recall 1.
func (e *Evaluator) Curves(n int) Curves {
	n = max(n, 4)
	var c Curves

	// A rising curve from (0, 0) to (1, 1) is 2 long, counted along the axes,
	// and a precision curve 1 wide.
	imageROC, imagePR := newTrace(n, 2), newTrace(n, 1)
	imageROC.visit(0, 0, 0)
	images := e.rankImages(func(r *ranking) {
		fpr, recall := r.fp/r.negatives, r.tp/r.positives
		imageROC.visit(fpr, recall, fpr+recall)
		imagePR.visit(recall, r.precision(), recall)
	})
	if images.auroc() != nil {
		c.ImageROC = imageROC.end()
	}
	if images.ap() != nil {
		c.ImagePR = imagePR.end()
	}
	if e.defectPixels == 0 {
		return c
	}

	pixelROC, pixelPR, pro, iap := newTrace(n, 2), newTrace(n, 1), newTrace(n, 2), newTrace(n, 1)
	pixelROC.visit(0, 0, 0)
	pro.visit(0, 0, 0)
	s := e.sweepPixels(func(s *pixelSweep) {
		fpr, recall := s.ranking.fp/s.ranking.negatives, s.ranking.tp/s.ranking.positives
		pixelROC.visit(fpr, recall, fpr+recall)
		pixelPR.visit(recall, s.ranking.precision(), recall)
		pro.visit(fpr, s.pro.pro, fpr+s.pro.pro)
	})
	for i, p := range s.precision {
		recall := float64(i+1) / float64(len(s.precision))
		iap.visit(recall, p, recall)
	}
	if e.backgroundPixels > 0 {
		c.PixelROC, c.PRO = pixelROC.end(), pro.end()
	}
	c.PixelPR, c.IAP = pixelPR.end(), iap.end()
	return c
}

// trace keeps a bounded number of a curve's points, spaced by their way along
// it.
type trace struct {
	spacing float64
	points  Curve
	last    Point   // seen last, kept or not
	kept    float64 // way of the last point kept
}

// newTrace returns a trace of at most n points for a way of the given length.
// The first point and the last each come on top of those a spacing apart.
func newTrace(n int, length float64) *trace {
	return &trace{spacing: length / float64(n-2), kept: math.Inf(-1)}
}

// visit sees the next point, at the given way from the beginning.
func (t *trace) visit(x, y, way float64) {
	t.last = Point{x, y}
	if way-t.kept >= t.spacing {
		t.points = append(t.points, t.last)
		t.kept = way
	}
}

// end returns the points kept and the last one.
func (t *trace) end() Curve {
	if n := len(t.points); n > 0 && t.points[n-1] != t.last {
		t.points = append(t.points, t.last)
	}
	return t.points
}
