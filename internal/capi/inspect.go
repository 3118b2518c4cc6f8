//go:build cgo

package capi

/*
#include "export.h"
*/
import "C"

import (
	"fmt"
	"math"
	"runtime/cgo"
	"sync"
	"unsafe"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/region"
)

// A result is an inspection whose regions are found when they are first asked for.
type result struct {
	*destseg.Inspection
	regions func() ([]region.Region, *picture.Gray)
}

//export destseg_inspect
func destseg_inspect(detector C.destseg_detector, pixels *C.const_byte, size C.size_t, width, height C.int32_t,
	stride C.size_t, format C.int32_t, to *C.destseg_result, e *C.destseg_error) C.int32_t {
	return inspect(detector, to, e, func() (*picture.RGB, error) {
		if pixels == nil {
			return nil, missing("pixels")
		}
		l, err := layoutOf(format)
		if err != nil {
			return nil, err
		}
		l.width, l.height, l.stride = int(width), int(height), int(min(stride, math.MaxInt))
		need, err := l.size()
		if err != nil {
			return nil, err
		}
		if uint64(size) < uint64(need) {
			return nil, fmt.Errorf("%w: %d bytes of pixels, %d×%d with a stride of %d take %d", errArgument, size, width, height, l.stride, need)
		}
		return l.rgb(unsafe.Slice((*byte)(unsafe.Pointer(pixels)), need)), nil
	})
}

func layoutOf(format C.int32_t) (layout, error) {
	switch format {
	case C.DESTSEG_RGB8:
		return layout{step: 3, channels: [3]int{0, 1, 2}}, nil
	case C.DESTSEG_BGR8:
		return layout{step: 3, channels: [3]int{2, 1, 0}}, nil
	case C.DESTSEG_GRAY8:
		return layout{step: 1}, nil
	case C.DESTSEG_RGBA8:
		return layout{step: 4, channels: [3]int{0, 1, 2}}, nil
	}
	return layout{}, fmt.Errorf("%w: format %d; known are DESTSEG_RGB8, BGR8, GRAY8 and RGBA8", errArgument, format)
}

//export destseg_inspect_encoded
func destseg_inspect_encoded(detector C.destseg_detector, encoded *C.const_byte, size C.size_t, to *C.destseg_result, e *C.destseg_error) C.int32_t {
	return inspect(detector, to, e, func() (*picture.RGB, error) {
		if encoded == nil {
			return nil, missing("bytes")
		}
		if size > math.MaxInt {
			return nil, fmt.Errorf("%w: %d bytes", errArgument, size)
		}
		p, err := picture.DecodeBytes(unsafe.Slice((*byte)(unsafe.Pointer(encoded)), size))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", destseg.ErrPicture, err)
		}
		return p, nil
	})
}

// inspect inspects what read returns.
func inspect(detector C.destseg_detector, to *C.destseg_result, e *C.destseg_error, read func() (*picture.RGB, error)) C.int32_t {
	return call(e, func() error {
		if to == nil {
			return missing("result")
		}
		*to = 0
		d, err := get[*destseg.Detector](uintptr(detector))
		if err != nil {
			return err
		}
		p, err := read()
		if err != nil {
			return err
		}
		i, err := d.InspectRGB(p)
		if err != nil {
			return err
		}
		*to = C.destseg_result(cgo.NewHandle(&result{i, sync.OnceValues(i.Regions)}))
		return nil
	})
}

//export destseg_result_free
func destseg_result_free(of C.destseg_result, e *C.destseg_error) C.int32_t {
	return call(e, func() error {
		if of == 0 {
			return nil
		}
		_, err := take[*result](uintptr(of))
		return err
	})
}
