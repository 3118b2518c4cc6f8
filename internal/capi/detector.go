//go:build cgo

// Package capi is package destseg for C. Its interface is destseg.h, written by hand.
//
// Nothing of Go's crosses the border: handles are numbers ([cgo.Handle]), which are never
// used twice, pictures and results are copied, and a panic becomes an error of the call.
package capi

/*
#include "export.h"
*/
import "C"

import (
	"encoding/json"
	"fmt"
	"runtime/cgo"
	"unsafe"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/engine"
)

// version is what destseg_version returns, for as long as the process lives.
var version = C.CString(destseg.Version())

//export destseg_version
func destseg_version() *C.const_char { return (*C.const_char)(unsafe.Pointer(version)) }

//export destseg_abi_version
func destseg_abi_version() C.uint32_t { return C.DESTSEG_ABI_VERSION }

//export destseg_open
func destseg_open(path *C.const_char, options *C.const_options, detector *C.destseg_detector, e *C.destseg_error) C.int32_t {
	return call(e, func() error {
		if detector == nil {
			return missing("detector")
		}
		*detector = 0
		if path == nil {
			return missing("path")
		}
		opts, err := optionsOf((*C.destseg_options)(unsafe.Pointer(options)))
		if err != nil {
			return err
		}
		d, err := destseg.Open(C.GoString((*C.char)(unsafe.Pointer(path))), opts...)
		if err != nil {
			return err
		}
		*detector = C.destseg_detector(cgo.NewHandle(d))
		return nil
	})
}

// optionsOf reads how a detector is to compute; nil is the usual way.
func optionsOf(o *C.destseg_options) ([]destseg.Option, error) {
	if o == nil {
		return nil, nil
	}
	if size := C.size_t(unsafe.Sizeof(*o)); o.struct_size != size {
		return nil, fmt.Errorf("%w: struct_size %d of the options, this library's have %d; begin with DESTSEG_OPTIONS_INIT and compile with the library's own header",
			errArgument, o.struct_size, size)
	}
	if o.threads < 0 || o.threads > maxThreads {
		return nil, fmt.Errorf("%w: %d threads; give 1 to %d, or 0 for one for each processor", errArgument, o.threads, maxThreads)
	}
	opts := []destseg.Option{destseg.WithThreads(int(o.threads))}
	if o.engine != nil {
		e, err := destseg.NewEngine(C.GoString(o.engine))
		if err != nil {
			return nil, argument(err)
		}
		opts = append(opts, destseg.WithEngine(e))
	}
	if o.precision != nil {
		p, err := engine.ParsePrecision(C.GoString(o.precision))
		if err != nil {
			return nil, argument(err)
		}
		opts = append(opts, destseg.WithPrecision(p))
	}
	image, err := thresholdOf("image_threshold", o.use_image_threshold, o.image_threshold)
	if err != nil {
		return nil, err
	}
	pixel, err := thresholdOf("pixel_threshold", o.use_pixel_threshold, o.pixel_threshold)
	if err != nil {
		return nil, err
	}
	return append(opts, destseg.WithRecord(func(r *destseg.Record) { r.SetThresholds(image, pixel) })), nil
}

// maxThreads is the most threads that can be asked for; beyond the processors of any
// machine more of them only take memory.
const maxThreads = 1024

// thresholdOf returns a threshold if it is to be used, else nil.
func thresholdOf(name string, use C.int32_t, x C.double) (*float64, error) {
	if use == 0 {
		return nil, nil
	}
	if !(x >= 0 && x <= 1) { // negated, so that NaN fails
		return nil, fmt.Errorf("%w: %s %v; give a number from 0 to 1", errArgument, name, x)
	}
	return new(float64(x)), nil
}

//export destseg_close
func destseg_close(detector C.destseg_detector, e *C.destseg_error) C.int32_t {
	return call(e, func() error {
		if detector == 0 {
			return nil
		}
		d, err := take[*destseg.Detector](uintptr(detector))
		if err != nil {
			return err
		}
		return d.Close()
	})
}

//export destseg_info
func destseg_info(detector C.destseg_detector, text *C.char, capacity C.size_t, length *C.size_t, e *C.destseg_error) C.int32_t {
	return call(e, func() error {
		d, err := get[*destseg.Detector](uintptr(detector))
		if err != nil {
			return err
		}
		about, err := json.Marshal(struct {
			Note      string         `json:"note"`
			Engine    string         `json:"engine"`
			Precision string         `json:"precision"`
			Record    destseg.Record `json:"record"`
		}{"this format may change until version 1.0", d.EngineName(), d.Precision().String(), d.Record()})
		if err != nil {
			return err
		}
		if length != nil {
			*length = C.size_t(len(about))
		}
		if capacity == 0 {
			return nil
		}
		return output("json", unsafe.Pointer(text), capacity, append(about, 0))
	})
}
