// Copies between layouts and types.
#include "kernel.h"

BODY void to_pixels_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    const float *restrict x = a->p[0];
    void *restrict y = a->p[1];
    long c = a->n[1], hw = a->n[2];
    for (long i = lo; i < hi; i++) {
        long n = i / hw, px = i % hw;
        const float *from = x + n * c * hw + px;
        for (long k = 0; k < c; k++) store(y, i * c + k, from[k * hw], bf);
    }
}
TYPED(to_pixels)

BODY void from_pixels_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    float *restrict planes = a->p[1];
    long c = a->n[1], hw = a->n[2], ld = a->n[3];
    for (long plane = lo; plane < hi; plane++)
        for (long i = 0; i < hw; i++) planes[plane * hw + i] = load(a->p[0], (plane / c * hw + i) * ld + plane % c, bf);
}
TYPED(from_pixels)

void ds_to_pixels(args a) { ds_parallel(a, a->n[0] * a->n[2], to_pixels); }

void ds_from_pixels(args a) { ds_parallel(a, a->n[0] * a->n[1], from_pixels); }
