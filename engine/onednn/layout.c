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

enum { CHANNELS = 16 }; // of a block

VARIANTS static void to_blocks(args a, long lo, long hi, int thread) {
    (void)thread;
    long hw = a->n[1], c = a->n[2], ld = a->n[3];
    for (long i = lo; i < hi; i++) {
        const float *from = (const float *)a->p[0] + i * ld;
        float *to = (float *)a->p[1] + i / hw * c * hw + i % hw * CHANNELS;
        for (long k = 0; k < c; k += CHANNELS) memcpy(to + k * hw, from + k, CHANNELS * sizeof(float));
    }
}

VARIANTS static void from_blocks(args a, long lo, long hi, int thread) {
    (void)thread;
    long hw = a->n[1], c = a->n[2], ld = a->n[3];
    for (long i = lo; i < hi; i++) {
        const float *from = (const float *)a->p[0] + i / hw * c * hw + i % hw * CHANNELS;
        float *to = (float *)a->p[1] + i * ld;
        for (long k = 0; k < c; k += CHANNELS) memcpy(to + k, from + k * hw, CHANNELS * sizeof(float));
    }
}

void ds_to_blocks(args a) { ds_parallel(a, a->n[0] * a->n[1], to_blocks); }

void ds_from_blocks(args a) { ds_parallel(a, a->n[0] * a->n[1], from_blocks); }
