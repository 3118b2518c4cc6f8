package weights

import "testing"

func BenchmarkFloat32s(b *testing.B) {
	const n = 1 << 20
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(i) / 7
	}
	for _, t := range []Tensor{FromFloat32([]int{n}, values), FromFloat16([]int{n}, values), FromBFloat16([]int{n}, values)} {
		b.Run(string(t.DType), func(b *testing.B) {
			b.SetBytes(4 * n)
			for b.Loop() {
				if _, err := t.Float32s(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkFromFloat32(b *testing.B) {
	const n = 1 << 20
	values := make([]float32, n)
	b.SetBytes(4 * n)
	for b.Loop() {
		FromFloat32([]int{n}, values)
	}
}
