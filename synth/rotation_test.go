package synth

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/destseg/destseg/picture"
)

func TestRotationOf(t *testing.T) {
	policies := map[Rotation][]string{
		NoRotation:     {"capsule", "metal_nut", "pill", "toothbrush", "transistor", "", "Bottle", "casting"},
		SlightRotation: {"wood", "zipper", "cable"},
		FullRotation:   {"bottle", "grid", "hazelnut", "leather", "tile", "carpet", "screw"},
	}
	for want, categories := range policies {
		for _, category := range categories {
			if got := RotationOf(category); got != want {
				t.Errorf("%q: %v, want %v", category, got, want)
			}
		}
	}
}

func TestRotationText(t *testing.T) {
	for r, name := range map[Rotation]string{NoRotation: "none", SlightRotation: "slight", FullRotation: "full"} {
		text, err := json.Marshal(r)
		if err != nil || string(text) != `"`+name+`"` {
			t.Errorf("%v is %s in JSON (%v)", r, text, err)
		}
		var back Rotation
		if err := json.Unmarshal(text, &back); err != nil || back != r {
			t.Errorf("%s reads as %v (%v)", text, back, err)
		}
	}
	r := SlightRotation
	for _, wrong := range []string{"", "None", "90", "Rotation(3)"} {
		if err := r.UnmarshalText([]byte(wrong)); err == nil || r != SlightRotation {
			t.Errorf("%q reads as %v", wrong, r)
		}
	}
	if _, err := Rotation(3).MarshalText(); err == nil {
		t.Error("rotation 3 has a text")
	}
}

// drawn returns a picture of noise.
func drawn(width, height int, seed uint64) *picture.RGB {
	p := picture.NewRGB(width, height)
	rng := rand.New(rand.NewPCG(seed, 0))
	for i := range p.Pix {
		p.Pix[i] = uint8(rng.Uint32())
	}
	return p
}

func TestRotationApply(t *testing.T) {
	p := drawn(64, 64, 1)
	before := bytes.Clone(p.Pix)
	fill := [3]uint8{114, 114, 114}
	quarters := make(map[int]int)
	for seed := range uint64(400) {
		source := func() *rand.Rand { return rand.New(rand.NewPCG(seed, seed)) }
		if got := NoRotation.apply(p, source()); got != p {
			t.Fatal("none: the picture changed")
		}
		rng := source()
		want := p.Rotate(rng.Float64()*10-5, fill)
		if got := SlightRotation.apply(p, source()); !bytes.Equal(got.Pix, want.Pix) {
			t.Fatalf("slight, seed %d: not a turn within 5°", seed)
		}
		rng = source()
		quarter := rng.IntN(4)
		quarters[quarter]++
		want = p.Rotate(float64(90*quarter), fill).Rotate(rng.Float64()*10-5, fill)
		if got := FullRotation.apply(p, source()); !bytes.Equal(got.Pix, want.Pix) {
			t.Fatalf("full, seed %d: not a quarter turn, then one within 5°", seed)
		}
	}
	for q := range 4 {
		if quarters[q] < 60 || quarters[q] > 140 {
			t.Errorf("%d of 400 turns are by %d°", quarters[q], 90*q)
		}
	}
	if !bytes.Equal(p.Pix, before) {
		t.Error("the good picture was written to")
	}
}

func FuzzRotationText(f *testing.F) {
	for _, seed := range []string{"none", "slight", "full", "", "Rotation(7)"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var r Rotation
		if r.UnmarshalText(text) == nil && r.String() != string(text) {
			t.Errorf("%q reads as %v", text, r)
		}
	})
}
