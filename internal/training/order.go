package training

import "math/rand/v2"

// An Order says which of Count pictures each sample shows: every picture once an
// epoch, in an order that follows from seed and epoch alone. An epoch may end within
// a batch, so that sets smaller than a batch work too.
type Order struct {
	Seed, Count uint64

	epoch uint64
	perm  []int // of the epoch, nil before the first
}

// At returns the picture of a sample.
func (o *Order) At(sample uint64) int {
	if epoch := sample / o.Count; o.perm == nil || epoch != o.epoch {
		o.epoch = epoch
		o.perm = rand.New(rand.NewPCG(o.Seed, epoch)).Perm(int(o.Count))
	}
	return o.perm[sample%o.Count]
}
