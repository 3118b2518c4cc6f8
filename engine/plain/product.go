package plain

// Sizes of the pieces of a matrix product. A tile lives in registers (Go's
// compiler has 15 of them on amd64 and uses them one number each), a block of
// the right matrix (depth × columns) in the first-level cache. A tile's sums
// go over to float64 after each block, which keeps float32 programs closer to
// the exact result than one long sum would.
const (
	tileRows, tileCols    = 2, 4
	tileSize              = tileRows * tileCols
	blockCols, blockDepth = 64, 64
)

// A view says where element (row, k) of a matrix lies in a slice, where k
// splits into k/inner and k%inner.
type view struct{ row, inner, outer, step int }

func (v view) at(row, k int) int { return row*v.row + k/v.inner*v.outer + k%v.inner*v.step }

// An extent is a dimension made of units; blocks never straddle a unit.
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
	right  []T       // a block of the right matrix
	sums   []float64 // a block of the result, tile by tile
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
			w.sums = make([]float64, n)
		}
	}
}

// run computes out = left·right, plus bias[row] if there is a bias.
func (p *product[T]) run(c crew, s *workspace[T], out, left, bias []T) {
	p.packLeft(c, s.left, left)
	// Few columns make smaller blocks, so that none of the crew stands idle.
	most := blockCols
	for most > tileCols && p.cols.blocks(most) < int(c) {
		most /= 2
	}
	c.each(p.cols.blocks(most), func(i, block int) {
		w := &s.workers[i]
		j0, j1 := p.cols.block(block, most)
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

// addBlock adds the product with a block of the right matrix to sums.
func (p *product[T]) addBlock(sums []float64, left, right []T, k0, k1, tiles int) {
	depth := k1 - k0
	for i := 0; i*tileRows < p.rows; i++ {
		a := left[(i*p.depth.size+k0)*tileRows:][:depth*tileRows]
		for j := range tiles {
			b := right[j*depth*tileCols:][:depth*tileCols]
			addTile((*[tileSize]float64)(sums[(i*tiles+j)*tileSize:]), a, b)
		}
	}
}

// addTile adds the product of two packed strips to a tile.
func addTile[T real](sum *[tileSize]float64, a, b []T) {
	var s00, s01, s02, s03, s10, s11, s12, s13 T
	for len(a) >= 4*tileRows && len(b) >= 4*tileCols {
		p, q := (*[4 * tileRows]T)(a), (*[4 * tileCols]T)(b)
		a0, a1, b0, b1, b2, b3 := p[0], p[1], q[0], q[1], q[2], q[3]
		s00, s01, s02, s03 = s00+a0*b0, s01+a0*b1, s02+a0*b2, s03+a0*b3
		s10, s11, s12, s13 = s10+a1*b0, s11+a1*b1, s12+a1*b2, s13+a1*b3
		a0, a1, b0, b1, b2, b3 = p[2], p[3], q[4], q[5], q[6], q[7]
		s00, s01, s02, s03 = s00+a0*b0, s01+a0*b1, s02+a0*b2, s03+a0*b3
		s10, s11, s12, s13 = s10+a1*b0, s11+a1*b1, s12+a1*b2, s13+a1*b3
		a0, a1, b0, b1, b2, b3 = p[4], p[5], q[8], q[9], q[10], q[11]
		s00, s01, s02, s03 = s00+a0*b0, s01+a0*b1, s02+a0*b2, s03+a0*b3
		s10, s11, s12, s13 = s10+a1*b0, s11+a1*b1, s12+a1*b2, s13+a1*b3
		a0, a1, b0, b1, b2, b3 = p[6], p[7], q[12], q[13], q[14], q[15]
		s00, s01, s02, s03 = s00+a0*b0, s01+a0*b1, s02+a0*b2, s03+a0*b3
		s10, s11, s12, s13 = s10+a1*b0, s11+a1*b1, s12+a1*b2, s13+a1*b3
		a, b = a[4*tileRows:], b[4*tileCols:]
	}
	for len(a) >= tileRows && len(b) >= tileCols {
		a0, a1, b0, b1, b2, b3 := a[0], a[1], b[0], b[1], b[2], b[3]
		s00, s01, s02, s03 = s00+a0*b0, s01+a0*b1, s02+a0*b2, s03+a0*b3
		s10, s11, s12, s13 = s10+a1*b0, s11+a1*b1, s12+a1*b2, s13+a1*b3
		a, b = a[tileRows:], b[tileCols:]
	}
	for i, s := range [tileSize]T{s00, s01, s02, s03, s10, s11, s12, s13} {
		sum[i] += float64(s)
	}
}

func (p *product[T]) store(out []T, sums []float64, bias []T, j0, j1, tiles int) {
	for row := range p.rows {
		b := 0.0
		if bias != nil {
			b = float64(bias[row])
		}
		from := sums[row/tileRows*tiles*tileSize+row%tileRows*tileCols:]
		for j := j0; j < j1; j++ {
			tile, col := (j-j0)/tileCols, (j-j0)%tileCols
			out[p.out.at(row, j)] = T(from[tile*tileSize+col] + b)
		}
	}
}

func roundUp(n, unit int) int { return (n + unit - 1) / unit * unit }
