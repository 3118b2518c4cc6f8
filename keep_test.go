package destseg

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/region"
)

// TestKeepInspection checks that an inspection that was kept says the same.
func TestKeepInspection(t *testing.T) {
	tests := map[string]func(*Record){
		"no threshold": func(*Record) {},
		"threshold": func(r *Record) {
			r.Threshold = &Threshold{Image: 0.01, Pixel: 0.02, Heat: &Scale{0.01, 0.03}}
		},
		"ROI, padded": func(r *Record) {
			r.Threshold = &Threshold{Image: 1, Pixel: 0.4}
			r.Preprocessing.Fit = picture.Pad
			r.Regions = region.Settings{Open: 1.5, MinArea: 2, ROI: &region.ROI{Include: []region.Polygon{{{{2, 3}, {40, 3}, {40, 30}}}}}}
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			r := testRecord(32, 32)
			change(&r)
			in, err := newDetector(t, r).InspectRGB(noise(1, 45, 37))
			if err != nil {
				t.Fatal(err)
			}
			in.Waited = time.Second
			content, err := in.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			var again Inspection
			if err := again.UnmarshalBinary(content); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(&again, in) {
				t.Errorf("restored %+v, want %+v", again, *in)
			}
			for _, threshold := range []float64{0, in.PixelThreshold, 0.3} {
				regions, mask := in.RegionsAbove(threshold)
				sameRegions, sameMask := again.RegionsAbove(threshold)
				if !reflect.DeepEqual(sameRegions, regions) || !bytes.Equal(sameMask.Pix, mask.Pix) {
					t.Errorf("other regions above %v", threshold)
				}
			}

			for _, cut := range []int{0, 3, 4, 10, len(content) / 2, len(content) - 1} {
				if err := again.UnmarshalBinary(content[:cut]); !errors.Is(err, ErrInspection) {
					t.Errorf("cut to %d bytes: %v", cut, err)
				}
			}
			if !reflect.DeepEqual(&again, in) {
				t.Error("an error left its traces")
			}
		})
	}
}

// TestKeepLarge checks that what can be inspected of large pictures can be restored.
func TestKeepLarge(t *testing.T) {
	in, err := newDetector(t, testRecord(32, 32)).InspectRGB(noise(1, 45, 37))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		width, height int
		ok            bool
	}{{1 << 15, 1 << 14, true}, {picture.MaxPixels, 1, true}, {1 << 15, 1 << 16, false}, {0, 1, false}, {1, -1, false}} {
		in.Width, in.Height = c.width, c.height
		content, err := in.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var again Inspection
		if err := again.UnmarshalBinary(content); (err == nil) != c.ok {
			t.Errorf("%d×%d: %v", c.width, c.height, err)
		}
	}
}

// TestRegionsAbove checks the regions at the detector's own threshold.
func TestRegionsAbove(t *testing.T) {
	r := testRecord(32, 32)
	r.Threshold = &Threshold{Image: 0.5, Pixel: 0.45}
	in, err := newDetector(t, r).InspectRGB(noise(1, 32, 32))
	if err != nil {
		t.Fatal(err)
	}
	want, _ := in.Regions()
	if got, _ := in.RegionsAbove(0.45); !reflect.DeepEqual(got, want) {
		t.Errorf("regions %v, want %v", got, want)
	}
	if got, mask := in.RegionsAbove(1); len(got) > 0 || bytes.Contains(mask.Pix, []byte{255}) {
		t.Errorf("regions %v above 1", got)
	}
	if got, _ := in.RegionsAbove(-1); len(got) != 1 || got[0].Area != 32*32 {
		t.Errorf("regions %v above −1", got)
	}
}

func FuzzKeptInspection(f *testing.F) {
	in, err := New(testRecord(32, 32), drawn())
	if err != nil {
		f.Fatal(err)
	}
	defer in.Close()
	i, err := in.InspectRGB(noise(1, 32, 32))
	if err != nil {
		f.Fatal(err)
	}
	content, err := i.MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(content)
	f.Add(content[:len(content)/2])
	f.Add([]byte(keptMagic))
	f.Fuzz(func(t *testing.T, content []byte) {
		var i Inspection
		if err := i.UnmarshalBinary(content); err != nil {
			if !errors.Is(err, ErrInspection) {
				t.Errorf("error %v is of no kind", err)
			}
			return
		}
		if i.Width*i.Height < 1<<16 && i.scaledWidth*i.scaledHeight < 1<<16 {
			i.Regions()
			i.Peak()
			i.Map(5, 3)
		}
	})
}
