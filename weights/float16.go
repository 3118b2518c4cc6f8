package weights

import "math"

// toFloat16 rounds to the nearest half-precision number, ties to even.
func toFloat16(f float32) uint16 {
	bits := math.Float32bits(f)
	sign := uint16(bits>>16) & 0x8000
	bits &= 0x7fffffff
	switch {
	case bits > 0x7f800000: // not a number: stays one, quiet, with the upper payload
		return sign | 0x7e00 | uint16(bits>>13)&0x3ff
	case bits >= 0x477ff000: // 65520, half way from the largest number to the next power of two
		return sign | 0x7c00
	case bits < 0x38800000: // below 2^-14: a multiple of 2^-24
		// The spacing of float32 at 0.5 is just 2^-24, so the addition does the rounding.
		return sign | uint16(math.Float32bits(math.Float32frombits(bits)+0.5)-math.Float32bits(0.5))
	}
	bits -= (127 - 15) << 23
	return sign | uint16((bits+0xfff+bits>>13&1)>>13)
}

func fromFloat16(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exponent, fraction := uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch exponent {
	case 0:
		return math.Float32frombits(sign | math.Float32bits(float32(fraction)*0x1p-24))
	case 0x1f:
		return math.Float32frombits(sign | 0x7f800000 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

// toBFloat16 rounds to the nearest bfloat16, ties to even.
func toBFloat16(f float32) uint16 {
	bits := math.Float32bits(f)
	if f != f {
		return uint16(bits>>16) | 0x40 // quiet, lest cutting the payload makes it infinite
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}

func fromBFloat16(h uint16) float32 {
	return math.Float32frombits(uint32(h) << 16)
}
