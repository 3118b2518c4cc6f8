package training

import (
	"slices"
	"testing"
)

func TestOrderShowsEveryPictureOnceAnEpoch(t *testing.T) {
	o := Order{Seed: 7, Count: 5}
	var epochs [2][]int
	for i := range 10 {
		epochs[i/5] = append(epochs[i/5], o.At(uint64(i)))
	}
	if slices.Equal(epochs[0], epochs[1]) {
		t.Error("two epochs have the same order")
	}
	for _, e := range epochs {
		slices.Sort(e)
		if !slices.Equal(e, []int{0, 1, 2, 3, 4}) {
			t.Errorf("an epoch shows %v", e)
		}
	}
	later := Order{Seed: 7, Count: 5}
	for _, i := range []uint64{9, 2, 7} {
		if fresh := (&Order{Seed: 7, Count: 5}).At(i); later.At(i) != fresh {
			t.Errorf("sample %d depends on what was asked before", i)
		}
	}
}
