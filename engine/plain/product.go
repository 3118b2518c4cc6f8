package plain

// Sizes of the pieces of a matrix product. A tile lives in registers, a block
// of the right matrix (depth × columns) in the second-level cache. Blocks also
// keep float32 exact: no running sum has more than blockDepth terms.
const (
	tileRows, tileCols    = 4, 4
	tileSize              = tileRows * tileCols
	blockCols, blockDepth = 64, 256
)

// A view says where element (row, k) of a matrix lies in a slice, where k
// splits into k/inner and k%inner.
type view struct{ row, inner, outer, step int }

func (v view) at(row, k int) int { return row*v.row + k/v.inner*v.outer + k%v.inner*v.step }

// An extent is a dimension that blocks may cut only inside its units.
type extent struct{ size, unit int }

// blocks is the number of blocks of at most limit.
func (e extent) blocks(limit int) int { return e.size / e.unit * ((e.unit + limit - 1) / limit) }

// block returns the bounds of block i.
func (e extent) block(i, limit int) (from, to int) {
	each := (e.unit + limit - 1) / limit
	unit, part := i/each*e.unit, i%each*limit
	return unit + part, unit + min(part+limit, e.unit)
}

// A product multiplies two matrices, the right one gathered while it runs.
type product[T real] struct {
	rows        int
	cols, depth extent
	left        view // rows × depth
	out         view // rows × cols
	// gather fills to with the block of the right matrix (depth k0 to k1, columns
	// j0 to j1): tiles of tileCols columns, depth by depth in each, columns
	// past j1 zero. It returns false if the whole block is zero. places is
	// scratch memory for max(blockDepth, blockCols) indices.
	gather func(to []T, places []int, k0, k1, j0, j1 int) bool
}

// A workspace is what products need while they run. The products of a program
// share one.
type workspace[T real] struct {
	left    []T // the left matrix in tiles of tileRows rows, depth by depth in each
	workers []worker[T]
}

type worker[T real] struct {
	right  []T // a block of the right matrix
	sums   []T // a block of the result, tile by tile
	places []int
}

func newWorkspace[T real](threads int) *workspace[T] {
	return &workspace[T]{workers: make([]worker[T], threads)}
}

// reserve makes room for a product.
func (s *workspace[T]) reserve(p *product[T]) {
	rows := roundUp(p.rows, tileRows)
	if n := rows * p.depth.size; n > len(s.left) {
		s.left = make([]T, n)
	}
	for i := range s.workers {
		w := &s.workers[i]
		if w.right == nil {
			w.right = make([]T, blockDepth*blockCols)
			w.places = make([]int, max(blockDepth, blockCols))
		}
		if n := rows * blockCols; n > len(w.sums) {
			w.sums = make([]T, n)
		}
	}
}

// run computes out = left·right, plus bias[row] if there is a bias.
func (p *product[T]) run(c crew, s *workspace[T], out, left, bias []T) {
	p.packLeft(c, s.left, left)
	c.each(p.cols.blocks(blockCols), func(i, block int) {
		w := &s.workers[i]
		j0, j1 := p.cols.block(block, blockCols)
		tiles := (j1 - j0 + tileCols - 1) / tileCols
		sums := w.sums[:roundUp(p.rows, tileRows)*tiles*tileCols]
		clear(sums)
		for b := range p.depth.blocks(blockDepth) {
			k0, k1 := p.depth.block(b, blockDepth)
			if p.gather(w.right, w.places, k0, k1, j0, j1) {
				p.addBlock(sums, s.left, w.right, k0, k1, tiles)
			}
		}
		p.store(out, sums, bias, j0, j1, tiles)
	})
}

func (p *product[T]) packLeft(c crew, to, left []T) {
	depth := p.depth.size
	c.each((p.rows+tileRows-1)/tileRows, func(_, tile int) {
		to := to[tile*tileRows*depth:][:tileRows*depth]
		for r := range tileRows {
			row := tile*tileRows + r
			if row >= p.rows {
				for k := range depth {
					to[k*tileRows+r] = 0
				}
				continue
			}
			for k := 0; k < depth; k += p.left.inner {
				at := p.left.at(row, k)
				for i := range min(p.left.inner, depth-k) {
					to[(k+i)*tileRows+r] = left[at+i*p.left.step]
				}
			}
		}
	})
}

// addBlock adds the product of a block to sums.
func (p *product[T]) addBlock(sums, left, right []T, k0, k1, tiles int) {
	depth := k1 - k0
	for i := 0; i*tileRows < p.rows; i++ {
		a := left[(i*p.depth.size+k0)*tileRows:][:depth*tileRows]
		for j := range tiles {
			b := right[j*depth*tileCols:][:depth*tileCols]
			addTile((*[tileSize]T)(sums[(i*tiles+j)*tileSize:]), a, b)
		}
	}
}

// addTile adds the product of two packed strips to a tile.
func addTile[T real](sum *[tileSize]T, a, b []T) {
	var s00, s01, s02, s03, s10, s11, s12, s13, s20, s21, s22, s23, s30, s31, s32, s33 T
	for len(a) >= 4 && len(b) >= 4 {
		a0, a1, a2, a3 := a[0], a[1], a[2], a[3]
		b0 := b[0]
		s00 += a0 * b0
		s10 += a1 * b0
		s20 += a2 * b0
		s30 += a3 * b0
		b1 := b[1]
		s01 += a0 * b1
		s11 += a1 * b1
		s21 += a2 * b1
		s31 += a3 * b1
		b2 := b[2]
		s02 += a0 * b2
		s12 += a1 * b2
		s22 += a2 * b2
		s32 += a3 * b2
		b3 := b[3]
		s03 += a0 * b3
		s13 += a1 * b3
		s23 += a2 * b3
		s33 += a3 * b3
		a, b = a[4:], b[4:]
	}
	for i, s := range [tileSize]T{s00, s01, s02, s03, s10, s11, s12, s13, s20, s21, s22, s23, s30, s31, s32, s33} {
		sum[i] += s
	}
}

func (p *product[T]) store(out, sums, bias []T, j0, j1, tiles int) {
	for row := range p.rows {
		var b T
		if bias != nil {
			b = bias[row]
		}
		from := sums[row/tileRows*tiles*tileSize+row%tileRows*tileCols:]
		for j := j0; j < j1; j++ {
			tile, col := (j-j0)/tileCols, (j-j0)%tileCols
			out[p.out.at(row, j)] = from[tile*tileSize+col] + b
		}
	}
}

func roundUp(n, unit int) int { return (n + unit - 1) / unit * unit }
