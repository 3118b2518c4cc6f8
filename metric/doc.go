// Package metric measures how well anomaly maps and image scores find defects.
//
// An [Evaluator] takes one [Sample] per test picture and gives the figures the
// field reports: image AUROC and AP, pixel AUROC, AP and best F1, AUPRO, IAP
// and IAP@90. All are exact: every distinct float32 score is a threshold,
// nothing is binned or sampled, and equal scores are never torn apart. A pixel
// or picture counts as found at a threshold t when its score is at least t.
//
// Pictures stream through. What is kept of them grows with the number of
// distinct scores rather than with the number of pixels; see [Evaluator].
//
// [Result.Figures] puts its protocol beside every figure, since a figure
// without one cannot be compared with another.
package metric
