//go:build cgo

package capi

/*
#include "export.h"
*/
import "C"

import (
	"fmt"
	"unsafe"

	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/region"
)

//export destseg_result_summary
func destseg_result_summary(of C.destseg_result, to *C.destseg_summary, e *C.destseg_error) C.int32_t {
	return call(e, func() error {
		r, err := get[*result](uintptr(of))
		if err != nil {
			return err
		}
		if to == nil {
			return missing("summary")
		}
		verdict := C.DESTSEG_NO_VERDICT
		switch {
		case r.Anomalous:
			verdict = C.DESTSEG_NG
		case r.HasThreshold:
			verdict = C.DESTSEG_GOOD
		}
		peak := r.Peak()
		*to = C.destseg_summary{
			score: C.double(r.Score), dest_score: C.double(r.DeSTScore()), threshold: C.double(r.Threshold),
			milliseconds: C.double(float64(r.Elapsed.Microseconds()) / 1000),
			verdict:      C.int32_t(verdict), width: C.int32_t(r.Width), height: C.int32_t(r.Height),
			peak_x: C.int32_t(peak.X), peak_y: C.int32_t(peak.Y), peak_value: C.float(peak.Value),
		}
		return nil
	})
}

//export destseg_result_map
func destseg_result_map(of C.destseg_result, which, width, height C.int32_t, values *C.float, count C.size_t, e *C.destseg_error) C.int32_t {
	return call(e, func() error {
		r, err := get[*result](uintptr(of))
		if err != nil {
			return err
		}
		if width < 1 || height < 1 || width > picture.DefaultMaxPixels/height {
			return fmt.Errorf("%w: a map of %d×%d values; give 1 to %d in all", errArgument, width, height, picture.DefaultMaxPixels)
		}
		compute := r.Map
		switch which {
		case C.DESTSEG_ANOMALY:
		case C.DESTSEG_DEST:
			compute = r.DeSTMap
		default:
			return fmt.Errorf("%w: map %d; known are DESTSEG_ANOMALY and DESTSEG_DEST", errArgument, which)
		}
		// Before a large map is computed for nothing.
		if err := room("values", unsafe.Pointer(values), count, int(width)*int(height)); err != nil {
			return err
		}
		return output("values", unsafe.Pointer(values), count, compute(int(width), int(height)))
	})
}

//export destseg_result_mask
func destseg_result_mask(of C.destseg_result, mask *C.uint8_t, size C.size_t, e *C.destseg_error) C.int32_t {
	return call(e, func() error {
		r, err := get[*result](uintptr(of))
		if err != nil {
			return err
		}
		_, found := r.regions()
		return output("mask", unsafe.Pointer(mask), size, found.Pix)
	})
}

//export destseg_result_region_count
func destseg_result_region_count(of C.destseg_result, count *C.size_t, e *C.destseg_error) C.int32_t {
	return call(e, func() error {
		r, err := get[*result](uintptr(of))
		if err != nil {
			return err
		}
		if count == nil {
			return missing("count")
		}
		found, _ := r.regions()
		*count = C.size_t(len(found))
		return nil
	})
}

// regionOf returns a region of a result.
func regionOf(of C.destseg_result, index C.size_t) (region.Region, error) {
	r, err := get[*result](uintptr(of))
	if err != nil {
		return region.Region{}, err
	}
	found, _ := r.regions()
	if index >= C.size_t(len(found)) {
		return region.Region{}, fmt.Errorf("%w: region %d of %d; the first is 0", errArgument, index, len(found))
	}
	return found[index], nil
}

//export destseg_result_region
func destseg_result_region(of C.destseg_result, index C.size_t, to *C.destseg_region, e *C.destseg_error) C.int32_t {
	return call(e, func() error {
		r, err := regionOf(of, index)
		if err != nil {
			return err
		}
		if to == nil {
			return missing("region")
		}
		*to = C.destseg_region{
			mean: C.double(r.Mean), area: C.int64_t(r.Area),
			x: C.int32_t(r.Box.X), y: C.int32_t(r.Box.Y), width: C.int32_t(r.Box.Width), height: C.int32_t(r.Box.Height),
			peak_x: C.int32_t(r.Peak.X), peak_y: C.int32_t(r.Peak.Y), peak_value: C.float(r.Peak.Value),
			rings: C.int32_t(len(r.Polygon)),
		}
		return nil
	})
}

//export destseg_result_ring
func destseg_result_ring(of C.destseg_result, index, ring C.size_t, points *C.double, capacity C.size_t, count *C.size_t, e *C.destseg_error) C.int32_t {
	return call(e, func() error {
		r, err := regionOf(of, index)
		if err != nil {
			return err
		}
		if ring >= C.size_t(len(r.Polygon)) {
			return fmt.Errorf("%w: ring %d of %d; the first is 0", errArgument, ring, len(r.Polygon))
		}
		if count != nil {
			*count = C.size_t(len(r.Polygon[ring]))
		}
		if capacity == 0 {
			return nil
		}
		return output("points", unsafe.Pointer(points), capacity, r.Polygon[ring])
	})
}
