package plain

import (
	"sync"
	"sync/atomic"
)

// A crew is a number of goroutines that share the turns of a loop. A turn's
// result must not depend on who takes it.
type crew int

// each calls f for every i below n. Calls with the same worker, a number
// below the crew's size, don't overlap.
func (c crew) each(n int, f func(worker, i int)) {
	workers := min(int(c), n)
	if workers <= 1 {
		for i := range n {
			f(0, i)
		}
		return
	}
	var next atomic.Int64
	work := func(worker int) {
		for {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			f(worker, i)
		}
	}
	var others sync.WaitGroup
	for worker := 1; worker < workers; worker++ {
		others.Go(func() { work(worker) })
	}
	work(0)
	others.Wait()
}

// pieceSize is how many elements of a pointwise operation or a sum make one
// piece of work.
const pieceSize = 1 << 14

// pieces calls f for consecutive ranges that cover 0 to n.
func (c crew) pieces(n int, f func(from, to int)) {
	c.each((n+pieceSize-1)/pieceSize, func(_, i int) {
		f(i*pieceSize, min((i+1)*pieceSize, n))
	})
}

// sum adds up f over consecutive ranges that cover 0 to n. The order is fixed.
func (c crew) sum(n int, f func(from, to int) float64) float64 {
	parts := make([]float64, (n+pieceSize-1)/pieceSize)
	c.pieces(n, func(from, to int) { parts[from/pieceSize] = f(from, to) })
	total := 0.0
	for _, p := range parts {
		total += p
	}
	return total
}
