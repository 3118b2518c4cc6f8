package metric

import (
	"iter"
	"math"
	"math/bits"
)

// A score's key is a uint32 that sorts as the score does; its upper half picks
// a page, its lower half the place in it.
const (
	pageBits = 16
	pageKeys = 1 << pageBits // places in a page
	pages    = 1 << (32 - pageBits)

	// listLimit is the length at which a list of background pixels, 2 bytes
	// each, and one of defect pixels, 6 bytes each, has the size of the counts
	// that take its place: 4 and 12 bytes for each of 65,536 keys.
	listLimit = 2 * pageKeys
)

// keyOf maps a finite score to its key; −0 and 0 are one score and one key.
func keyOf(score float32) uint32 {
	b := math.Float32bits(score)
	if b == 1<<31 {
		b = 0
	}
	// Positive scores move to the upper half; negative ones, whose magnitude
	// grows with their bits, are turned around.
	return b ^ (uint32(int32(b)>>31) | 1<<31)
}

// scoreOf is the inverse of keyOf.
func scoreOf(key uint32) float32 {
	return math.Float32frombits(key ^ (uint32(int32(^key)>>31) | 1<<31))
}

// scoreTable counts pixels by score, exactly: each page begins as a list of its
// pixels and turns into a count per key once that is smaller.
type scoreTable struct {
	page [pages]*page
}

type page struct {
	// The list: lower half of every pixel's key and, for defect pixels only,
	// the size of its component.
	low  []uint16
	size []uint32

	// The counts, nil while the list serves. overlap is the sum of 1/size.
	count   *[pageKeys]uint32
	overlap *[pageKeys]float64
	carry   map[uint16]uint64 // how often a count has passed 2³²
}

// at returns the page of a key.
func (t *scoreTable) at(key uint32) *page {
	p := t.page[key>>pageBits]
	if p == nil {
		p = new(page)
		t.page[key>>pageBits] = p
	}
	return p
}

// addBackground adds the pixels whose mask is 0; a nil mask is 0 everywhere.
func (t *scoreTable) addBackground(scores []float32, mask []uint8) {
	for i, score := range scores {
		if mask != nil && mask[i] != 0 {
			continue
		}
		key := keyOf(score)
		p := t.page[key>>pageBits]
		if p == nil {
			p = t.at(key)
		}
		if p.count != nil {
			p.increment(uint16(key))
			continue
		}
		p.low = append(p.low, uint16(key))
		if len(p.low) == listLimit {
			p.toCounts()
		}
	}
}

// addComponent adds all pixels of one component of a defect.
func (t *scoreTable) addComponent(keys []uint32) {
	size := uint32(len(keys))
	share := 1 / float64(size)
	for _, key := range keys {
		p := t.at(key)
		if p.count != nil {
			p.increment(uint16(key))
			p.overlap[uint16(key)] += share
			continue
		}
		p.low = append(p.low, uint16(key))
		p.size = append(p.size, size)
		if len(p.low) == listLimit {
			p.toCounts()
		}
	}
}

func (p *page) increment(low uint16) {
	p.count[low]++
	if p.count[low] == 0 {
		p.carryOver(low)
	}
}

func (p *page) carryOver(low uint16) {
	if p.carry == nil {
		p.carry = make(map[uint16]uint64)
	}
	p.carry[low]++
}

// toCounts replaces the page's list.
func (p *page) toCounts() {
	p.count = new([pageKeys]uint32)
	for _, low := range p.low {
		p.count[low]++
	}
	if p.size != nil {
		p.overlap = new([pageKeys]float64)
		for i, low := range p.low {
			p.overlap[low] += 1 / float64(p.size[i])
		}
	}
	p.low, p.size = nil, nil
}

// step is what happens when a threshold comes down to the next score.
type step struct {
	score      float32
	background uint64  // background pixels of this score
	defect     uint64  // defect pixels of this score
	overlap    float64 // sum of 1/(size of the component) over the defect pixels
}

// tally unpacks the pages of one upper half.
type tally struct {
	background, defect [pageKeys]uint64
	overlap            [pageKeys]float64
	used               [pageKeys / 64]uint64 // one bit per key that occurs
}

// descend yields every distinct score of the two tables, the largest first.
func descend(background, defect *scoreTable) iter.Seq[step] {
	return func(yield func(step) bool) {
		t := new(tally)
		for upper := pages - 1; upper >= 0; upper-- {
			b, d := background.page[upper], defect.page[upper]
			if b == nil && d == nil {
				continue
			}
			if b != nil {
				b.unpack(&t.background, &t.overlap, &t.used)
			}
			if d != nil {
				d.unpack(&t.defect, &t.overlap, &t.used)
			}
			for word := len(t.used) - 1; word >= 0; word-- {
				for t.used[word] != 0 {
					bit := bits.Len64(t.used[word]) - 1
					t.used[word] &^= 1 << bit
					low := word*64 + bit
					s := step{
						score:      scoreOf(uint32(upper)<<pageBits | uint32(low)),
						background: t.background[low],
						defect:     t.defect[low],
						overlap:    t.overlap[low],
					}
					t.background[low], t.defect[low], t.overlap[low] = 0, 0, 0
					if !yield(s) {
						return
					}
				}
			}
		}
	}
}

// unpack writes the page's counts and overlaps, and marks the keys that occur.
func (p *page) unpack(count *[pageKeys]uint64, overlap *[pageKeys]float64, used *[pageKeys / 64]uint64) {
	for _, low := range p.low {
		count[low]++
		used[low/64] |= 1 << (low % 64)
	}
	for i, size := range p.size {
		overlap[p.low[i]] += 1 / float64(size)
	}
	if p.count == nil {
		return
	}
	for low, n := range p.count {
		if n != 0 {
			count[low] = uint64(n)
			used[low/64] |= 1 << (low % 64)
		}
	}
	for low, n := range p.carry {
		count[low] += n << 32
		used[low/64] |= 1 << (low % 64)
	}
	if p.overlap != nil {
		*overlap = *p.overlap
	}
}
