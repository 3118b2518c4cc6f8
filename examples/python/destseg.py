"""Finds defects in pictures with detectors that destseg has trained.

    from destseg import Detector

    with Detector("bottle.safetensors") as detector:
        inspection = detector.inspect_file("part.png")
        print(inspection.verdict, inspection.score, inspection.regions)

Needs nothing but Python 3.8 and libdestseg, which is looked for where the environment
variable DESTSEG_LIBRARY says, else where libraries are. NumPy arrays, such as OpenCV
gives, can be inspected as they are, and maps turned into arrays without a copy; NumPy
itself is not needed.

A process that has opened a detector must not use it in children of os.fork(): give
multiprocessing the start method "spawn".
"""

import ctypes
import ctypes.util
import json
import os
import sys
import weakref
from ctypes import POINTER, byref, c_char, c_char_p, c_double, c_float, c_int32, c_int64, c_size_t, c_uint8
from typing import NamedTuple

ABI_VERSION = 1

_Handle = ctypes.c_size_t  # uintptr_t


class _Error(ctypes.Structure):
    _fields_ = [("status", c_int32), ("message", c_char * 1020)]


class _Options(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("engine", c_char_p), ("precision", c_char_p),
                ("image_threshold", c_double), ("pixel_threshold", c_double),
                ("use_image_threshold", c_int32), ("use_pixel_threshold", c_int32),
                ("threads", c_int32), ("reserved", c_int32)]


class _Summary(ctypes.Structure):
    _fields_ = [("score", c_double), ("dest_score", c_double), ("threshold", c_double), ("milliseconds", c_double),
                ("verdict", c_int32), ("width", c_int32), ("height", c_int32),
                ("peak_x", c_int32), ("peak_y", c_int32), ("peak_value", c_float)]


class _Region(ctypes.Structure):
    _fields_ = [("mean", c_double), ("area", c_int64), ("x", c_int32), ("y", c_int32),
                ("width", c_int32), ("height", c_int32), ("peak_x", c_int32), ("peak_y", c_int32),
                ("peak_value", c_float), ("rings", c_int32)]


_SIGNATURES = {
    "destseg_open": (c_char_p, POINTER(_Options), POINTER(_Handle)),
    "destseg_close": (_Handle,),
    "destseg_info": (_Handle, POINTER(c_char), c_size_t, POINTER(c_size_t)),
    "destseg_inspect": (_Handle, POINTER(c_uint8), c_size_t, c_int32, c_int32, c_size_t, c_int32, POINTER(_Handle)),
    "destseg_inspect_encoded": (_Handle, c_char_p, c_size_t, POINTER(_Handle)),
    "destseg_result_free": (_Handle,),
    "destseg_result_summary": (_Handle, POINTER(_Summary)),
    "destseg_result_map": (_Handle, c_int32, c_int32, c_int32, POINTER(c_float), c_size_t),
    "destseg_result_region_count": (_Handle, POINTER(c_size_t)),
    "destseg_result_region": (_Handle, c_size_t, POINTER(_Region)),
    "destseg_result_ring": (_Handle, c_size_t, c_size_t, POINTER(c_double), c_size_t, POINTER(c_size_t)),
    "destseg_result_mask": (_Handle, POINTER(c_uint8), c_size_t),
}


def _load():
    name = os.environ.get("DESTSEG_LIBRARY") or ctypes.util.find_library("destseg") or "libdestseg.so.%d" % ABI_VERSION
    try:
        library = ctypes.CDLL(name)
    except OSError as error:
        raise ImportError("%s; DESTSEG_LIBRARY=DIR/libdestseg.so says where the library is" % error) from error
    library.destseg_version.restype = c_char_p
    if library.destseg_abi_version() != ABI_VERSION:
        raise ImportError("%s has another ABI version than %d; take destseg.py from the same release" % (name, ABI_VERSION))
    for function, arguments in _SIGNATURES.items():
        getattr(library, function).argtypes = arguments + (POINTER(_Error),)
    return library


_library = _load()


class DestsegError(Exception):
    """Why a call failed; status is a destseg_status of destseg.h."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def _call(function, *arguments):
    error = _Error()
    if getattr(_library, function)(*arguments, byref(error)) != 0:
        raise DestsegError(error.status, error.message.decode("utf-8", "replace"))


class Region(NamedTuple):
    """A connected area of the map above the pixel threshold, in pixels of the picture."""

    area: int
    box: tuple  # x, y, width, height
    peak: tuple  # x, y, value
    mean: float
    polygon: list  # rings, each a list of (x, y): the border, then holes


class Inspection:
    """What a detector says about one picture.

    verdict is "OK", "NG", or None if the detector has no threshold. The score decides
    alone; regions tell where, the highest first.
    """

    def __init__(self, handle):
        self._handle = handle
        self._finalizer = weakref.finalize(self, _library.destseg_result_free, handle, None)
        s = _Summary()
        _call("destseg_result_summary", handle, byref(s))
        self.score, self.dest_score, self.milliseconds = s.score, s.dest_score, s.milliseconds
        self.verdict = (None, "OK", "NG")[s.verdict]
        self.threshold = s.threshold if s.verdict else None
        self.width, self.height = s.width, s.height
        self.peak = (s.peak_x, s.peak_y, s.peak_value)
        count = c_size_t()
        _call("destseg_result_region_count", handle, byref(count))
        self.regions = [self._region(i) for i in range(count.value)]

    def _region(self, index):
        r = _Region()
        _call("destseg_result_region", self._handle, index, byref(r))
        return Region(r.area, (r.x, r.y, r.width, r.height), (r.peak_x, r.peak_y, r.peak_value), r.mean,
                      [self._ring(index, ring) for ring in range(r.rings)])

    def _ring(self, index, ring):
        count = c_size_t()
        _call("destseg_result_ring", self._handle, index, ring, None, 0, byref(count))
        points = (c_double * (2 * count.value))()
        _call("destseg_result_ring", self._handle, index, ring, points, count, None)
        return list(zip(points[::2], points[1::2]))

    def map(self, width=None, height=None, dest=False):
        """Returns the anomaly map, by default at the picture's size, as rows of numbers from 0 to 1.

        The memoryview has the shape (height, width); numpy.asarray makes an array of it.
        """
        width, height = width or self.width, height or self.height
        values = (c_float * (width * height))()
        _call("destseg_result_map", self._handle, int(dest), width, height, values, len(values))
        return memoryview(values).cast("B").cast("f", (height, width))

    def mask(self):
        """Returns 255 where the regions are and 0 elsewhere, as a memoryview like map()."""
        values = (c_uint8 * (self.width * self.height))()
        _call("destseg_result_mask", self._handle, values, len(values))
        return memoryview(values).cast("B", (self.height, self.width))


class Detector:
    """An open detector. Threads may share it; its inspections wait for each other.

    precision is fp32, bf16, or int8 for a quantized detector; left out, it is the fastest of
    these that detector and processor have. Left out, threads are one for each processor, and
    thresholds are the detector's.
    """

    _FORMATS = {"RGB": (1, 3), "BGR": (2, 3), "GRAY": (3, 1), "RGBA": (4, 4)}  # destseg_format, bytes of a pixel

    def __init__(self, path, precision=None, threads=0, threshold=None, pixel_threshold=None, engine=None):
        options = _Options(struct_size=ctypes.sizeof(_Options), threads=threads)
        options.engine = engine.encode() if engine else None
        options.precision = precision.encode() if precision else None
        if threshold is not None:
            options.use_image_threshold, options.image_threshold = 1, threshold
        if pixel_threshold is not None:
            options.use_pixel_threshold, options.pixel_threshold = 1, pixel_threshold
        self._handle = _Handle()
        _call("destseg_open", os.fsencode(path), byref(options), byref(self._handle))
        self._finalizer = weakref.finalize(self, _library.destseg_close, self._handle.value, None)

    def close(self):
        self._finalizer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def info(self):
        """Returns what is known about the detector: engine, precision and its record."""
        length = c_size_t()
        _call("destseg_info", self._handle, None, 0, byref(length))
        text = ctypes.create_string_buffer(length.value + 1)
        _call("destseg_info", self._handle, text, len(text), None)
        return json.loads(text.value)

    def inspect(self, pixels, format=None):
        """Inspects height × width × channels bytes, such as a NumPy array of uint8 or a part of one.

        format is "RGB", "BGR" (what OpenCV reads), "GRAY" or "RGBA"; left out, it follows
        from the shape: GRAY without channels, RGB for 3, RGBA for 4.
        """
        view = memoryview(pixels)
        if view.format != "B" or view.ndim not in (2, 3):
            raise ValueError("pixels need the shape (height, width) or (height, width, channels), of bytes")
        height, width = view.shape[:2]
        channels = view.shape[2] if view.ndim == 3 else 1
        format = format or {1: "GRAY", 3: "RGB", 4: "RGBA"}.get(channels)
        if format not in self._FORMATS or self._FORMATS[format][1] != channels:
            raise ValueError("%r with %d channels; known are RGB, BGR, GRAY and RGBA" % (format, channels))
        of = c_uint8 * view.nbytes
        view = view.cast("B") if view.c_contiguous else memoryview(view.tobytes())
        buffer = of.from_buffer_copy(view) if view.readonly else of.from_buffer(view)
        result = _Handle()
        _call("destseg_inspect", self._handle, buffer, len(buffer), width, height, 0, self._FORMATS[format][0], byref(result))
        return Inspection(result.value)

    def inspect_encoded(self, data):
        """Inspects the bytes of a PNG, JPEG, BMP, TIFF or WebP file."""
        result = _Handle()
        _call("destseg_inspect_encoded", self._handle, data, len(data), byref(result))
        return Inspection(result.value)

    def inspect_file(self, path):
        with open(path, "rb") as file:
            return self.inspect_encoded(file.read())


def main():
    if len(sys.argv) < 3:
        sys.exit("usage: %s DETECTOR PICTURE..." % sys.argv[0])
    try:
        detector = Detector(sys.argv[1], precision=os.environ.get("DESTSEG_PRECISION"))
    except DestsegError as error:
        sys.exit(str(error))
    failed = False
    with detector:
        for path in sys.argv[2:]:
            try:
                i = detector.inspect_file(path)
            except (DestsegError, OSError) as error:
                print("%s: %s" % (path, error), file=sys.stderr)
                failed = True
                continue
            print("%s: %s, score %.4f, threshold %.4f" % (path, i.verdict or "no verdict", i.score, i.threshold or 0))
            for r in i.regions:
                print("  %d pixels at (%d, %d), %dx%d, highest %.4f" % (r.area, *r.box, r.peak[2]))
    sys.exit(failed)


if __name__ == "__main__":
    main()
