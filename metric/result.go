package metric

import "fmt"

// Result holds the figures of a test set, each from 0 to 1 except the
// threshold. A nil figure, null in JSON, is one that the set does not define;
// [Result.Figures] names the reason.
type Result struct {
	Pictures          int   `json:"pictures"`
	DefectivePictures int   `json:"defective_pictures"`
	Pixels            int64 `json:"pixels"`         // of the pictures that are not blind
	DefectPixels      int64 `json:"defect_pixels"`  // of these
	Instances         int   `json:"instances"`      // 8-connected components
	BlindPictures     int   `json:"blind_pictures"` // no map, or defective without a mask

	ImageAUROC *float64 `json:"image_auroc"`
	ImageAP    *float64 `json:"image_ap"`

	// The figures below leave blind pictures out, and [Result.Figures] says how
	// many: they are figures of a smaller test set.

	PixelAUROC       *float64 `json:"pixel_auroc"`
	PixelAP          *float64 `json:"pixel_ap"`
	PixelF1          *float64 `json:"pixel_f1_max"`
	PixelF1Threshold *float64 `json:"pixel_f1_threshold"` // the largest with that F1
	AUPRO            *float64 `json:"aupro"`
	IAP              *float64 `json:"iap"`
	IAP90            *float64 `json:"iap90"`
}

// Result measures all samples added so far. More may be added afterwards.
func (e *Evaluator) Result() Result {
	images := e.rankImages(nil)
	r := Result{
		Pictures:          len(e.images),
		DefectivePictures: int(images.positives),
		Pixels:            e.backgroundPixels + e.defectPixels,
		DefectPixels:      e.defectPixels,
		Instances:         len(e.instances),
		BlindPictures:     e.blind,
		ImageAUROC:        images.auroc(),
		ImageAP:           images.ap(),
	}
	if e.defectPixels == 0 {
		return r
	}
	r.setPixels(e.sweepPixels(nil))
	return r
}

// setPixels takes the figures that a walk down the pixels has found; there is at
// least one defect pixel.
func (r *Result) setPixels(s *pixelSweep) {
	r.PixelAUROC = s.ranking.auroc()
	r.PixelAP = s.ranking.ap()
	r.PixelF1 = new(s.bestF1)
	r.PixelF1Threshold = new(float64(s.f1Threshold))
	r.AUPRO = s.pro.aupro()
	r.IAP = s.iap()
	r.IAP90 = s.iapAt(90)
}

// IAPAt returns IAP@percent (DeSTSeg, section 4.1): the pixel precision where
// at least percent of 100 instances are found, interpolated as for IAP. It is
// nil where the set does not define it or percent is not from 1 to 100.
func (e *Evaluator) IAPAt(percent int) *float64 {
	if e.defectPixels == 0 || percent < 1 || percent > 100 {
		return nil
	}
	return e.sweepPixels(nil).iapAt(percent)
}

// A Figure is one figure of a [Result] with what a reader needs to compare it.
type Figure struct {
	Key      string   `json:"key"`               // as in the JSON of Result
	Name     string   `json:"name"`              // as the field writes it
	Protocol string   `json:"protocol"`          // how it is measured, in one line
	Value    *float64 `json:"value"`             // nil where not defined
	Missing  string   `json:"missing,omitempty"` // why it is nil
}

// String returns the name and the value, or the reason why there is none.
func (f Figure) String() string {
	if f.Value == nil {
		return fmt.Sprintf("%s not defined: %s", f.Name, f.Missing)
	}
	return fmt.Sprintf("%s %.4f", f.Name, *f.Value)
}

// Figures returns all figures in the order in which to print them.
//
// AP is that of scikit-learn's average_precision_score, AUPRO that of MVTec AD
// (Bergmann et al., IJCV 2021), IAP that of DeSTSeg (section 4.1 and the
// published code). Two slips of the published IAP are not repeated: it counts
// background as true positive at thresholds of 0 and below, and compares
// recalls after rounding, which no map of positive scores and no IAP@90 shows.
func (r Result) Figures() []Figure {
	figures := []Figure{
		{"image_auroc", "image AUROC",
			"all test pictures ranked by image score, area under the ROC curve, ties count one half", r.ImageAUROC, ""},
		{"image_ap", "image AP",
			"all test pictures ranked by image score, area under the precision-recall steps, ties grouped", r.ImageAP, ""},
		{"pixel_auroc", "pixel AUROC",
			"all pixels of all test pictures pooled, area under the ROC curve, ties count one half", r.PixelAUROC, ""},
		{"pixel_ap", "pixel AP",
			"all pixels of all test pictures pooled, area under the precision-recall steps, ties grouped", r.PixelAP, ""},
		{"pixel_f1_max", "pixel F1",
			"all pixels of all test pictures pooled, largest F1 over all thresholds, chosen on these same pictures", r.PixelF1, ""},
		{"pixel_f1_threshold", "pixel F1 threshold",
			"the largest score t at which pixels of score ≥ t have the largest F1", r.PixelF1Threshold, ""},
		{"aupro", "AUPRO",
			"mean overlap of the 8-connected ground-truth components over the pooled false positive rate, all thresholds, area up to 0.3 divided by 0.3", r.AUPRO, ""},
		{"iap", "IAP",
			"pixel precision at each threshold that finds one more instance, interpolated, mean over the instances (8-connected components, found when more than half of their pixels are)", r.IAP, ""},
		{"iap90", "IAP@90",
			"pixel precision, interpolated as for IAP, at the first threshold that finds at least 90 % of the instances", r.IAP90, ""},
	}
	for i := range figures {
		f := &figures[i]
		if r.BlindPictures > 0 && !f.ofImages() {
			f.Protocol += "; " + r.blind()
		}
		if f.Value == nil {
			f.Missing = r.missing(f)
		}
	}
	return figures
}

// ofImages reports whether the figure needs no maps and masks.
func (f *Figure) ofImages() bool { return f.Key == "image_auroc" || f.Key == "image_ap" }

// blind says how many pictures the pixel figures leave out.
func (r Result) blind() string {
	return fmt.Sprintf("%d of %d pictures left out, for want of a map or a mask", r.BlindPictures, r.Pictures)
}

// missing names what a figure that is not defined lacks.
func (r Result) missing(f *Figure) string {
	switch {
	case r.Pictures == 0:
		return "no pictures"
	case r.DefectivePictures == 0:
		return "no defective pictures"
	case f.ofImages():
		return "no good pictures"
	case r.DefectPixels == 0 && r.BlindPictures > 0:
		return "no defect pixels in the masks; " + r.blind()
	case r.DefectPixels == 0:
		return "no defect pixels in the masks"
	}
	return "no background pixels"
}
