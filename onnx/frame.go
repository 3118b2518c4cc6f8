package onnx

import (
	"fmt"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/picture"
)

// Dimensions that the caller chooses.
const (
	batch  = "batch"
	height = "height"
	width  = "width"
)

// scorePixels is how many of a map's largest values make the score, as in
// [destseg.Inspection].
const scorePixels = 100

// A frame is what surrounds the networks: what makes their input, and their maps, of a
// quarter of its size, into outputs.
type frame struct {
	image string // the networks' input
	sizes string // its height and width, if the caller chooses them
	// enlarge brings a map to the size of the model's input, under a name.
	enlarge func(name, coarse string) string
	mapDims []any
	// score returns the score of a map.
	score func(coarse string) string
}

// bare is the frame of a model whose input is that of the networks.
func (m *model) bare(how destseg.Preprocessing, dynamic bool) frame {
	f := frame{image: Image, mapDims: []any{batch, 1, how.Height, how.Width}}
	sides := "those of the network"
	if dynamic {
		f.mapDims = []any{batch, 1, height, width}
		f.sizes = m.node("Shape", []string{Image}, attribute{"start", 2}, attribute{"end", 4})
		sides = fmt.Sprintf("multiples of %d", network.Stride)
	}
	m.inputs = append(m.inputs, port{Image, float32s, []any{batch, 3, f.mapDims[2], f.mapDims[3]}, fmt.Sprintf(
		"N×3×H×W: RGB resized to H and W, %s; each value v in [0,1] of channel c is (v − mean[c]) / std[c] with mean %v, std %v",
		sides, how.Mean, how.Std)})
	f.enlarge = func(name, coarse string) string {
		scales := m.floats([]int{4}, 1, 1, network.MapStride, network.MapStride)
		return m.named(name, "Resize", []string{coarse, "", scales}, bilinear()...)
	}
	f.score = func(string) string { return m.score(AnomalyMap, m.list(scorePixels)) }
	return f
}

// score writes the mean of the count largest values of each picture's map.
func (m *model) score(of, count string) string {
	flat := m.node("Reshape", []string{of, m.list(0, -1)})
	top := m.name("TopK")
	m.nodes = append(m.nodes, node{"TopK", []string{flat, count}, []string{top, m.name("places")}, []attribute{{"axis", 1}, {"sorted", 0}}})
	return m.named(Score, "ReduceMean", []string{top}, attribute{"axes", []int{1}}, attribute{"keepdims", 0})
}

// A side is a height or a width: the picture's and that at network scale, both int64, and
// the networks' own.
type side struct {
	picture, scaled string
	network         int
	fills           bool // the network's size, at network scale
}

// prepared is the frame of a model whose input is pictures of any size.
func (m *model) prepared(how destseg.Preprocessing) frame {
	m.inputs = append(m.inputs, port{Picture, uint8s, []any{batch, height, width, 3}, "N×H×W×3: RGB, pictures of any size"})
	shape := m.node("Shape", []string{Picture})
	of := func(axis int) string { return m.node("Gather", []string{shape, m.number(axis)}) }
	rows, columns := side{picture: of(1), network: how.Height}, side{picture: of(2), network: how.Width}
	if how.Fit == picture.Pad {
		// The largest size of the picture's shape, as picture.Fit.Scaled rounds it.
		rows.scaled = m.scaled(rows, columns)
		columns.scaled = m.scaled(columns, rows)
	} else {
		rows.scaled, columns.scaled = m.number(how.Height), m.number(how.Width)
		rows.fills, columns.fills = true, true
	}

	x := m.node("Transpose", []string{m.cast(Picture, float32s)}, attribute{"perm", []int{0, 3, 1, 2}})
	x = m.filter(columns, func(w string) string { return m.node("MatMul", []string{x, m.transpose(w)}) })
	x = m.filter(rows, func(w string) string { return m.node("MatMul", []string{w, x}) })
	var factor, offset [3]float32
	for c := range factor {
		factor[c] = float32(1 / (255 * float64(how.Std[c])))
		offset[c] = float32(-float64(how.Mean[c]) / float64(how.Std[c]))
	}
	x = m.node("Mul", []string{x, m.floats([]int{3, 1, 1}, factor[:]...)})
	f := frame{image: m.node("Add", []string{x, m.floats([]int{3, 1, 1}, offset[:]...)}), mapDims: []any{batch, 1, height, width}}

	f.enlarge = func(name, coarse string) string {
		x := m.node("MatMul", []string{m.between(rows, rows.picture), coarse})
		return m.named(name, "MatMul", []string{x, m.transpose(m.between(columns, columns.picture))})
	}
	f.score = func(coarse string) string {
		x := m.node("MatMul", []string{m.between(rows, rows.scaled), coarse})
		x = m.node("MatMul", []string{x, m.transpose(m.between(columns, columns.scaled))})
		pixels := m.node("Mul", []string{rows.scaled, columns.scaled})
		count := m.node("Min", []string{pixels, m.number(scorePixels)})
		return m.score(x, m.node("Reshape", []string{count, m.list(1)}))
	}
	return f
}

// scaled returns a side at network scale of pictures that keep their shape: as far as
// the other side allows, rounded to nearest.
func (m *model) scaled(s, other side) string {
	twice := m.node("Mul", []string{s.picture, m.number(2 * other.network)})
	rounded := m.node("Div", []string{m.node("Add", []string{twice, other.picture}), m.node("Mul", []string{other.picture, m.number(2)})})
	return m.node("Min", []string{m.number(s.network), m.node("Max", []string{m.number(1), rounded})})
}

// odd returns 1, 3, 5, …: twice the centres of n positions.
func odd(n int) []int {
	v := make([]int, n)
	for i := range v {
		v[i] = 2*i + 1
	}
	return v
}

// filter resizes one side of pictures with Pillow's bilinear filter, to the bit: apply
// multiplies them by a network×picture matrix.
//
// Pillow adds up in integers, with weights of weightBits. Products of grey levels and
// such weights don't fit into float32, in which everything multiplies matrices well, so
// the upper and the lower half of the weights take their turns. Sums of either are exact
// up to 32 weights, that is as long as 16 pixels become one; beyond that the lower ones may
// be off by some 2^−22 of a grey level.
func (m *model) filter(s side, apply func(matrix string) string) string {
	const half = 1 << (weightBits / 2)
	weights := m.triangle(s)
	upper := m.node("Div", []string{weights, m.number(half)})
	lower := m.node("Sub", []string{weights, m.node("Mul", []string{upper, m.number(half)})})
	sum := func(part string) string { return m.cast(apply(m.cast(part, float32s)), int64s) }
	total := m.node("Add", []string{m.node("Mul", []string{sum(upper), m.number(half)}), sum(lower)})
	total = m.node("Add", []string{total, m.number(1 << (weightBits - 1))}) // halves go up
	return m.cast(m.node("Div", []string{total, m.number(1 << weightBits)}), float32s)
}

// weightBits is the precision of Pillow's filter weights, see package picture.
const weightBits = 22

// triangle returns the network×picture matrix of the filter's weights, in units of
// 2^−weightBits. Position i of m weighs k of n by 1 − |(2k+1)·m − (2i+1)·n| / 2max(m, n),
// over the sum of these. Beyond m, what fills the networks' size repeats the last
// position.
func (m *model) triangle(s side) string {
	at := m.integers([]int{s.network, 1}, odd(s.network)...)
	if !s.fills {
		last := m.node("Sub", []string{m.node("Mul", []string{s.scaled, m.number(2)}), m.number(1)})
		at = m.node("Min", []string{at, last})
	}
	from := m.node("Range", []string{m.number(1), m.node("Mul", []string{s.picture, m.number(2)}), m.number(2)})
	apart := m.node("Abs", []string{m.node("Sub", []string{
		m.node("Mul", []string{from, s.scaled}), m.node("Mul", []string{at, s.picture}),
	})})
	reach := m.node("Mul", []string{m.node("Max", []string{s.scaled, s.picture}), m.number(2)})
	near := m.node("Max", []string{m.node("Sub", []string{reach, apart}), m.number(0)})
	// ⌊near·2^bits/sum + ½⌋
	sum := m.node("ReduceSum", []string{near, m.list(1)}, attribute{"keepdims", 1})
	doubled := m.node("Add", []string{m.node("Mul", []string{near, m.number(2 << weightBits)}), sum})
	return m.node("Div", []string{doubled, m.node("Mul", []string{sum, m.number(2)})})
}

// between returns the count×cells matrix that resizes one side of a map, bilinear with
// half-pixel centres, of which the picture spans scaled/MapStride cells, see
// picture.ResizeMapPart.
func (m *model) between(s side, count string) string {
	cells := s.network / network.MapStride
	to := m.node("Range", []string{m.number(1), m.node("Mul", []string{count, m.number(2)}), m.number(2)})
	at := m.ratio(m.node("Mul", []string{to, s.scaled}), m.node("Mul", []string{count, m.number(2 * network.MapStride)}))
	at = m.node("Max", []string{m.node("Sub", []string{at, m.scalar(0.5)}), m.scalar(0)})
	spanned := m.node("Div", []string{m.node("Add", []string{s.scaled, m.number(network.MapStride - 1)}), m.number(network.MapStride)})
	last := m.cast(m.node("Sub", []string{spanned, m.number(1)}), float32s)
	at = m.node("Unsqueeze", []string{m.node("Min", []string{at, last}), m.list(1)})
	cell := make([]float32, cells)
	for k := range cell {
		cell[k] = float32(k)
	}
	apart := m.node("Abs", []string{m.node("Sub", []string{m.floats([]int{cells}, cell...), at})})
	return m.node("Relu", []string{m.node("Sub", []string{m.scalar(1), apart})})
}

// ratio divides integers in float32.
func (m *model) ratio(a, b string) string {
	return m.node("Div", []string{m.cast(a, float32s), m.cast(b, float32s)})
}

func (m *model) transpose(x string) string {
	return m.node("Transpose", []string{x}, attribute{"perm", []int{1, 0}})
}
