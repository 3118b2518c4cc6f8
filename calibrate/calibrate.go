// Package calibrate chooses thresholds from the scores of pictures and says what
// they can promise.
//
// A picture is rejected if its score is above the threshold. Scores lie in [0,1].
package calibrate

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// Confidence is that of every bound: it holds for at least this share of all samples
// that could have been drawn.
const Confidence = 0.95

// fewest is the least number of scores from which a tail can be told.
const fewest = 3

// FalseAlarms returns the threshold above which a share of rate of good pictures, or
// less, is expected, from the scores of n good ones that were drawn like those to come.
//
// If rate·(n+1) is at least 1, it is the score that so many are at or above: the k-th
// largest of n has k/(n+1) of all further ones above it in the mean (order statistics,
// David and Nagaraja, 3rd ed. 2003, section 2.3; the same rule as in split conformal
// prediction). Fewer pictures reach no such rate. Then the tail is modelled, and the
// threshold is the largest score or, where that is higher, the model's: logits above
// their median are taken for the upper half of a normal distribution with that median,
// and the threshold for the upper limit of Student's prediction interval. Only this
// half is looked at because logits of good pictures lean to the left, which would make
// the threshold too high.
//
// It panics without scores and unless rate lies between 0 and 1.
func FalseAlarms(good []float64, rate float64) (threshold float64, modelled bool) {
	if len(good) == 0 || !(rate > 0 && rate < 1) {
		panic("calibrate: no scores, or a rate outside of (0,1)")
	}
	sorted := slices.Sorted(slices.Values(good))
	n := len(sorted)
	if k := int(rate*float64(n+1) + 1e-9); k > 0 { // 0.07·100 is a little more than 7
		return sorted[n-min(k, n)], false
	}
	largest := sorted[n-1]
	if n < fewest {
		return largest, false
	}
	return max(largest, tail(sorted, rate)), true
}

// tail is the model's threshold for sorted scores.
func tail(sorted []float64, rate float64) float64 {
	n := len(sorted)
	median := (logit(sorted[n/2]) + logit(sorted[(n-1)/2])) / 2
	var squares, count float64
	for _, s := range sorted {
		if above := logit(s) - median; above > 0 {
			squares += above * above
			count++
		}
	}
	if count == 0 {
		return sorted[n-1]
	}
	// A half of the scores tells half as much.
	t := distuv.StudentsT{Sigma: 1, Nu: float64((n + 1) / 2)}.Quantile(1 - rate)
	return 1 / (1 + math.Exp(-median-t*math.Sqrt(squares/count*(1+1/float64(n)))))
}

// logit is the log odds of a score, kept from the infinities.
func logit(score float64) float64 {
	const least = 1e-6
	score = max(least, min(score, 1-least))
	return math.Log(score / (1 - score))
}

// F1 returns the threshold with the best F1 of telling defective pictures from good
// ones, half way to the next score below: the highest such threshold of several. It
// panics without defective pictures.
func F1(good, defective []float64) float64 {
	if len(defective) == 0 {
		panic("calibrate: no defective pictures")
	}
	best, at := -1.0, 0.0
	for _, score := range descending(defective) {
		threshold := below(score, good, defective)
		tp, fp := float64(Above(defective, threshold)), float64(Above(good, threshold))
		if f1 := 2 * tp / (tp + fp + float64(len(defective))); f1 > best {
			best, at = f1, threshold
		}
	}
	return at
}

// Recall returns the highest threshold above which a share of recall of the defective
// pictures lies, half way to the next score below. It panics without defective pictures
// and unless recall lies above 0 and is at most 1.
func Recall(good, defective []float64, recall float64) float64 {
	if len(defective) == 0 || !(recall > 0 && recall <= 1) {
		panic("calibrate: no defective pictures, or a recall outside of (0,1]")
	}
	k := int(math.Ceil(recall*float64(len(defective)) - 1e-9))
	return below(descending(defective)[k-1], good, defective)
}

// descending returns the scores from the largest on.
func descending(scores []float64) []float64 {
	sorted := slices.Sorted(slices.Values(scores))
	slices.Reverse(sorted)
	return sorted
}

// below returns the middle between a score and the next smaller one of any picture, or
// 0.
func below(score float64, sets ...[]float64) float64 {
	next := 0.0
	for _, set := range sets {
		for _, s := range set {
			if s < score {
				next = max(next, s)
			}
		}
	}
	middle := next + (score-next)/2
	if middle >= score { // neighbouring numbers
		return next
	}
	return middle
}

// Above counts the scores above a threshold.
func Above(scores []float64, threshold float64) int {
	count := 0
	for _, s := range scores {
		if s > threshold {
			count++
		}
	}
	return count
}

// AtMost returns the rate that, with [Confidence], the true one does not exceed if k of n
// were counted: the upper limit of Clopper and Pearson (Biometrika 26, 1934). For a
// threshold at the (k+1)-th largest of n scores it is also the bound that order
// statistics give for the share of all scores above it.
func AtMost(k, n int) float64 {
	if k >= n {
		return 1
	}
	return distuv.Beta{Alpha: float64(k + 1), Beta: float64(n - k)}.Quantile(Confidence)
}

// AtLeast is the lower limit of [AtMost].
func AtLeast(k, n int) float64 {
	if k <= 0 {
		return 0
	}
	return distuv.Beta{Alpha: float64(k), Beta: float64(n - k + 1)}.Quantile(1 - Confidence)
}
