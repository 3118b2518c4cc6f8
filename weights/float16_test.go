package weights

import (
	"math"
	"math/rand/v2"
	"testing"
)

// nearest16 is the slow twin: the closest of all finite values by search, the even one among two.
func nearest16(f float32, decode func(uint16) float32, infinity uint16) uint16 {
	sign := uint16(0)
	if math.Signbit(float64(f)) {
		sign = 0x8000
	}
	x := math.Abs(float64(f))
	low, high := uint16(0), infinity // non-negative patterns are ordered like their values
	for high-low > 1 {
		if mid := (low + high) / 2; float64(decode(mid)) <= x {
			low = mid
		} else {
			high = mid
		}
	}
	upper := float64(decode(high))
	if high == infinity { // counts as the next step of the largest binade
		upper = 2*float64(decode(low)) - float64(decode(low-1))
	}
	down, up := x-float64(decode(low)), upper-x
	if up < down || up == down && high%2 == 0 {
		low = high
	}
	return sign | low
}

func TestFloat16Rounding(t *testing.T) {
	formats := []struct {
		name     string
		encode   func(float32) uint16
		decode   func(uint16) float32
		infinity uint16
	}{
		{"half", toFloat16, fromFloat16, 0x7c00},
		{"bfloat16", toBFloat16, fromBFloat16, 0x7f80},
	}
	for _, f := range formats {
		t.Run(f.name, func(t *testing.T) {
			check := func(x float32) {
				if math.IsInf(float64(x), 0) || math.IsNaN(float64(x)) {
					return
				}
				if got, want := f.encode(x), nearest16(x, f.decode, f.infinity); got != want {
					t.Fatalf("%v (%#08x) gives %#04x, want %#04x", x, math.Float32bits(x), got, want)
				}
			}
			for h := range 1 << 16 {
				x := f.decode(uint16(h))
				if x != x {
					if y := f.decode(f.encode(x)); y == y {
						t.Fatalf("%#04x: NaN became %v", h, y)
					}
					continue
				}
				if got := f.encode(x); got != uint16(h) {
					t.Fatalf("%#04x comes back as %#04x", h, got)
				}
				// The middle to the next value, and its neighbours: where ties are.
				next := f.decode(uint16(h) + 1)
				middle := float32((float64(x) + float64(next)) / 2)
				for _, y := range []float32{middle, math.Nextafter32(middle, 0), math.Nextafter32(middle, math.MaxFloat32)} {
					check(y)
				}
			}
			random := rand.New(rand.NewPCG(1, 2))
			for range 100_000 {
				check(math.Float32frombits(random.Uint32()))
			}
			for _, sign := range []int{1, -1} {
				infinite := float32(math.Inf(sign))
				if got := f.decode(f.encode(infinite)); got != infinite {
					t.Errorf("%v becomes %v", infinite, got)
				}
			}
			// Not-a-number whose payload lies only in bits that are cut off.
			for _, bits := range []uint32{0x7f800001, 0xff800001, 0x7fffffff} {
				if y := f.decode(f.encode(math.Float32frombits(bits))); y == y {
					t.Errorf("%#08x becomes %v", bits, y)
				}
			}
		})
	}
}
