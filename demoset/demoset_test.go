package demoset

import (
	"bytes"
	"fmt"
	"image"
	"math"
	"testing"
)

func TestNames(t *testing.T) {
	folders := map[string]bool{None.String(): true}
	for _, k := range Kinds() {
		seen := map[Defect]bool{}
		for _, d := range k.Defects() {
			if d == None || seen[d] {
				t.Errorf("%v: defect %v is None or listed twice", k, d)
			}
			seen[d] = true
			folders[d.String()] = true
		}
	}
	if len(folders) != int(ForeignFibre)+1 {
		t.Errorf("%d names for %d defects: %v", len(folders), int(ForeignFibre)+1, folders)
	}
	if got := Kind(7).String() + Defect(99).String(); got != "Kind(7)Defect(99)" {
		t.Errorf("unknown values print as %q", got)
	}
}

func TestDrawIsDeterministic(t *testing.T) {
	for _, k := range Kinds() {
		var last []byte
		for _, d := range append([]Defect{None}, k.Defects()...) {
			a, am := Draw(k, 5, d, 97)
			b, bm := Draw(k, 5, d, 97)
			if !bytes.Equal(a.Pix, b.Pix) || !bytes.Equal(am.Pix, bm.Pix) {
				t.Errorf("%v %v: the same seed gave two pictures", k, d)
			}
			if bytes.Equal(a.Pix, last) {
				t.Errorf("%v %v: looks like the defect before", k, d)
			}
			last = a.Pix
			if c, _ := Draw(k, 6, d, 97); bytes.Equal(a.Pix, c.Pix) {
				t.Errorf("%v %v: two seeds gave the same picture", k, d)
			}
		}
	}
}

func TestDrawSizes(t *testing.T) {
	for _, size := range []int{MinSize, 65, 97, 128, 301} {
		for _, k := range Kinds() {
			for _, d := range append([]Defect{None}, k.Defects()...) {
				img, mask := Draw(k, uint64(size), d, size)
				want := image.Rect(0, 0, size, size)
				if img.Rect != want || mask.Rect != want {
					t.Errorf("%v %v: size %d gave %v and mask %v", k, d, size, img.Rect, mask.Rect)
				}
				for i := 3; i < len(img.Pix); i += 4 {
					if img.Pix[i] != 255 {
						t.Fatalf("%v %v: pixel %d is not opaque", k, d, i/4)
					}
				}
				if marked := bytes.Count(mask.Pix, []byte{255}); marked+bytes.Count(mask.Pix, []byte{0}) != size*size {
					t.Errorf("%v %v: mask has values other than 0 and 255", k, d)
				} else if (marked > 0) != (d != None) {
					t.Errorf("%v %v at size %d: %d pixels marked", k, d, size, marked)
				}
			}
		}
	}
}

// TestMaskFits holds every defect of 200 parts against the same part without it. The pictures share their grain, so
// they differ by the defect and by rounding alone.
func TestMaskFits(t *testing.T) {
	seeds, size := 200, 72
	if testing.Short() {
		seeds = 20
	}
	for _, k := range Kinds() {
		t.Run(k.String(), func(t *testing.T) {
			t.Parallel()
			shares := map[Defect]float64{}
			areas := map[Defect][2]int{}
			for _, d := range k.Defects() {
				areas[d] = [2]int{math.MaxInt, 0}
			}
			for seed := range uint64(seeds) {
				good, _ := Draw(k, seed, None, size)
				for _, d := range k.Defects() {
					bad, mask := Draw(k, seed, d, size)
					marked, differ := 0, 0
					for i, m := range mask.Pix {
						most := 0
						for c := range 3 {
							e := int(good.Pix[4*i+c]) - int(bad.Pix[4*i+c])
							most = max(most, e, -e)
						}
						if m == 0 && most > noticeable+1 {
							t.Fatalf("%v %v, seed %d: unmarked pixel (%d, %d) differs by %d", k, d, seed, i%size, i/size, most)
						}
						if m != 0 {
							marked++
							if most >= noticeable-1 {
								differ++
							}
						}
					}
					share := float64(differ) / float64(marked)
					if marked == 0 || share < 0.5 {
						t.Errorf("%v %v, seed %d: %d of %d marked pixels differ", k, d, seed, differ, marked)
					}
					shares[d] += share / float64(seeds)
					areas[d] = [2]int{min(areas[d][0], marked), max(areas[d][1], marked)}
				}
			}
			for _, d := range k.Defects() {
				t.Logf("%v %v: %.0f %% of the mask differs; %d to %d pixels", k, d, 100*shares[d], areas[d][0], areas[d][1])
				if shares[d] < 0.75 {
					t.Errorf("%v %v: only %.0f %% of the marked pixels differ on average", k, d, 100*shares[d])
				}
			}
		})
	}
}

// TestReach checks that a defect changes nothing outside the rectangle it names, which is all that is drawn anew.
func TestReach(t *testing.T) {
	const size = 96
	for _, k := range Kinds() {
		for _, d := range k.Defects() {
			for seed := range uint64(10) {
				p, rng := newPart(k, seed), stream(seed, streamDefect)
				bad, where := p.spoil(rng, d, rng.Float64())
				box := where.pixels(size)
				a, b := newFrame(size), newFrame(size)
				p.render(a, a.bounds())
				bad.render(b, b.bounds())
				for i := range a.pix {
					if a.pix[i] != b.pix[i] && !image.Pt(i%size, i/size).In(box) {
						t.Fatalf("%v %v, seed %d: pixel (%d, %d) changed outside %v", k, d, seed, i%size, i/size, box)
					}
				}
			}
		}
	}
}

func TestDrawRefuses(t *testing.T) {
	for name, draw := range map[string]func(){
		"kind":   func() { Draw(Kind(9), 1, None, 128) },
		"small":  func() { Draw(Machined, 1, None, MinSize-1) },
		"large":  func() { Draw(Machined, 1, None, MaxSize+1) },
		"defect": func() { Draw(Woven, 1, Burr, 128) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			draw()
		})
	}
}

func TestCloseGaps(t *testing.T) {
	const n = 9
	for _, c := range []struct {
		gap      int
		from, to string
	}{
		{0, "#.#......", "#.#......"},
		{1, "#.#..#..#", "###..#..#"},
		{2, "#.#..#..#", "#########"},
		{2, "#...#...#", "#...#...#"},
		{3, "#...#...#", "#########"},
		{4, "........#", "........#"},
	} {
		for _, down := range []bool{false, true} {
			mask := make([]uint8, n*n)
			at := func(i int) *uint8 {
				if down {
					return &mask[i*n+n-1]
				}
				return &mask[i]
			}
			for i, r := range c.from {
				if r == '#' {
					*at(i) = 255
				}
			}
			closeGaps(mask, n, c.gap)
			got := ""
			for i := range n {
				got += string(".#"[*at(i)/255])
			}
			if got != c.to || bytes.Count(mask, []byte{255}) != len(c.to)-bytes.Count([]byte(c.to), []byte{'.'}) {
				t.Errorf("gap %d: %s became %s, want %s, and nothing beside it", c.gap, c.from, got, c.to)
			}
		}
	}
}

func BenchmarkDraw(b *testing.B) {
	for _, k := range Kinds() {
		for _, d := range append([]Defect{None}, k.Defects()...) {
			b.Run(fmt.Sprintf("%v/%v", k, d), func(b *testing.B) {
				seed := uint64(0)
				for b.Loop() {
					Draw(k, seed, d, DefaultSize)
					seed++
				}
			})
		}
	}
}
