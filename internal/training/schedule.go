package training

import "math"

// Warm is the part of the highest learning rate that a step takes, from 0 on: it
// grows in proportion for the first warmup steps and then stays.
func Warm(step, warmup int) float64 {
	return min(float64(step+1)/float64(warmup+1), 1)
}

// Cosine is Warm, and after the warm-up the rate falls along half a cosine to reach
// 0 after the last step (Loshchilov and Hutter, SGDR, 2017, equation 5, without
// restarts).
func Cosine(step, warmup, steps int) float64 {
	if step < warmup {
		return Warm(step, warmup)
	}
	return (1 + math.Cos(math.Pi*float64(step-warmup)/float64(steps-warmup))) / 2
}
