package destseg

// Verdicts count what a threshold makes of test pictures.
type Verdicts struct {
	Good        int // pictures
	FalseAlarms int // good pictures that are rejected
	Defective   int // pictures
	Missed      int // defective pictures that are not rejected
}

// CountVerdicts counts the verdicts at an image threshold: rejected is what scores
// above it.
func CountVerdicts(scores []PictureScore, threshold float64) Verdicts {
	var v Verdicts
	for _, s := range scores {
		rejected := s.Score > threshold
		switch {
		case s.Defective:
			v.Defective++
			if !rejected {
				v.Missed++
			}
		default:
			v.Good++
			if rejected {
				v.FalseAlarms++
			}
		}
	}
	return v
}
