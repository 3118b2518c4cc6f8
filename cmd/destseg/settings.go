package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/region"
)

// regionSettings say what counts as a region, as far as it is said; the rest stays as
// the detector has it.
type regionSettings struct {
	opening, closing *float64
	minArea          *int
	roi              string // file, "none", or empty
}

func (s *regionSettings) flags(f *pflag.FlagSet) {
	f.StringVar(&s.roi, "roi", "", "`FILE` that says where defects count: polygons in JSON, or a mask,\nwhite where they do; none: everywhere")
	radius := func(to **float64, name, usage string) {
		optionalFlag(f, to, "R", name, usage, func(text string) (float64, error) {
			x, err := strconv.ParseFloat(text, 64)
			if err != nil || !(x >= 0 && x <= region.MaxRadius) {
				return 0, fmt.Errorf("expected a radius in pixels from 0 to %d", region.MaxRadius)
			}
			return x, nil
		})
	}
	radius(&s.opening, "open", "radius in pixels of the disc that a region must hold, the rest goes")
	radius(&s.closing, "close", "radius in pixels of the disc that fills gaps and joins regions")
	optionalFlag(f, &s.minArea, "N", "min-area", "least pixels of a region", func(text string) (int, error) {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > math.MaxInt32 {
			return 0, errors.New("expected a number of pixels")
		}
		return n, nil
	})
}

// change returns what changes the settings of a record.
func (s regionSettings) change() (func(*destseg.Record), error) {
	var roi *region.ROI
	if s.roi != "" && s.roi != "none" {
		var err error
		if roi, err = readROI(s.roi); err != nil {
			return nil, err
		}
	}
	return func(r *destseg.Record) {
		if s.roi != "" {
			r.Regions.ROI = roi
		}
		if s.opening != nil {
			r.Regions.Open = *s.opening
		}
		if s.closing != nil {
			r.Regions.Close = *s.closing
		}
		if s.minArea != nil {
			r.Regions.MinArea = *s.minArea
		}
	}, nil
}

// readROI reads an ROI from JSON or from a mask. Errors name the file.
func readROI(path string) (*region.ROI, error) {
	if strings.EqualFold(filepath.Ext(path), ".json") {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		roi, err := region.ParseROI(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return roi, nil
	}
	mask, err := picture.OpenGray(path)
	if err != nil {
		return nil, err
	}
	if !mask.TwoTone() {
		return nil, fmt.Errorf("%s: a picture with shades of grey is no mask; an ROI is white where defects count and black elsewhere", path)
	}
	mask = mask.Binary()
	roi, err := region.MaskROI(mask.Pix, mask.Width, mask.Height)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return roi, nil
}

// A use says what a detector does otherwise than its record has it.
type use struct {
	threshold, pixelThreshold *float64
	regionSettings
	tiling
}

func (u *use) flags(f *pflag.FlagSet) {
	thresholdFlag(f, &u.threshold, "threshold", "from 0 to 1; scores above it are NG (default: the detector's)")
	thresholdFlag(f, &u.pixelThreshold, "pixel-threshold", "from 0 to 1; regions are where the map is above it\n(default: the detector's)")
	u.regionSettings.flags(f)
	u.tiling.flags(f, "pixels across of the tiles in which pictures are seen, 0 for whole\nones (default: as the detector was trained)")
}

// open opens a detector for that use, warns of what its verdicts are worth, and
// returns that warning; "" if there is nothing to warn of.
func (u use) open(c *console, how computing, path string) (d *destseg.Detector, warning string, err error) {
	settings, err := u.regionSettings.change()
	if err != nil {
		return nil, "", err
	}
	d, before, err := u.tiling.open(how, path, func(r *destseg.Record) {
		settings(r)
		r.SetThresholds(u.threshold, u.pixelThreshold)
	})
	if err != nil {
		return nil, "", err
	}
	if warning = u.warning(path, d.Record(), before); warning != "" {
		c.note("warning: %s", warning)
	}
	return d, warning, nil
}

// warning tells what the verdicts of a detector are worth; before is how it was made to
// see pictures.
func (u use) warning(path string, r destseg.Record, before destseg.Preprocessing) string {
	t := r.Threshold
	switch {
	case t == nil:
		return fmt.Sprintf("%s has no threshold, so there are scores and no verdicts; --threshold sets one, destseg calibrate chooses one", path)
	case u.threshold != nil:
	case r.Preprocessing != before:
		return fmt.Sprintf("the threshold %.4f of %s was not chosen for these tiles; destseg calibrate with --tile chooses one, --threshold sets one", t.Image, path)
	case t.Provisional():
		return fmt.Sprintf("the threshold %.4f of %s is provisional, by the scores of its own training pictures; "+
			"destseg calibrate chooses one by others, --threshold sets one", t.Image, path)
	}
	return ""
}

// settingsRows tells of region settings in a list.
func settingsRows(s region.Settings) [][2]string {
	var list []string
	if s.ROI != nil {
		drawn := "pixels of each picture"
		if s.ROI.Width > 0 {
			drawn = "drawn on " + pixels(size{s.ROI.Width, s.ROI.Height})
		}
		list = append(list, fmt.Sprintf("ROI of %s (%s)", formatCount(len(s.ROI.Include)+len(s.ROI.Exclude), "polygon"), drawn))
	}
	if s.Open > 0 {
		list = append(list, fmt.Sprintf("opened by %g", s.Open))
	}
	if s.Close > 0 {
		list = append(list, fmt.Sprintf("closed by %g", s.Close))
	}
	if s.MinArea > 0 {
		list = append(list, fmt.Sprintf("%s at least", formatCount(s.MinArea, "pixel")))
	}
	if list == nil {
		return nil
	}
	return [][2]string{{"regions", strings.Join(list, ", ")}}
}
