package training

import (
	"math"
	"testing"
)

func TestSchedules(t *testing.T) {
	for _, c := range []struct {
		step, warmup, steps int
		warm, cosine        float64
	}{
		{0, 0, 10, 1, 1},
		{5, 0, 10, 1, 0.5},
		{9, 0, 10, 1, (1 - math.Cos(math.Pi/10)) / 2},
		{0, 3, 13, 0.25, 0.25},
		{2, 3, 13, 0.75, 0.75},
		{3, 3, 13, 1, 1},
		{8, 3, 13, 1, 0.5},
		{0, 1, 1, 0.5, 0.5},
	} {
		if got := Warm(c.step, c.warmup); math.Abs(got-c.warm) > 1e-12 {
			t.Errorf("warm %+v: %v", c, got)
		}
		if got := Cosine(c.step, c.warmup, c.steps); math.Abs(got-c.cosine) > 1e-12 {
			t.Errorf("cosine %+v: %v", c, got)
		}
	}
}
