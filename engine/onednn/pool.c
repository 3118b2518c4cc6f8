// Pooling.
#include "kernel.h"

BODY void maxpool_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    const void *restrict x = a->p[0];
    void *restrict y = a->p[1];
    uint8_t *restrict place = a->p[2];
    long h = a->n[1], w = a->n[2], c = a->n[3], p = a->n[4], q = a->n[5], kernel = a->n[6], stride = a->n[7], pad = a->n[8], dilation = a->n[9];
    float best[MAX_CHANNELS];
    uint8_t where[MAX_CHANNELS];
    for (long i = lo; i < hi; i++) {
        long n = i / (p * q), oy = i / q % p, ox = i % q;
        for (long k = 0; k < c; k++) best[k] = -INFINITY, where[k] = 0;
        for (long ky = 0; ky < kernel; ky++)
            for (long kx = 0; kx < kernel; kx++) {
                long sy = oy * stride - pad + ky * dilation, sx = ox * stride - pad + kx * dilation;
                if (sy < 0 || sy >= h || sx < 0 || sx >= w) continue;
                long from = ((n * h + sy) * w + sx) * c;
                uint8_t tap = (uint8_t)(ky * kernel + kx);
                for (long k = 0; k < c; k++) {
                    float v = load(x, from + k, bf);
                    int better = v > best[k] || v != v; // a NaN wins, so that it isn't lost
                    where[k] = better ? tap : where[k];
                    best[k] = better ? v : best[k];
                }
            }
        for (long k = 0; k < c; k++) store(y, i * c + k, best[k], bf);
        if (place)
            for (long k = 0; k < c; k++) place[i * c + k] = where[k];
    }
}
TYPED(maxpool)

BODY void maxpool_backward_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    const uint8_t *restrict place = a->p[0];
    const void *restrict dy = a->p[1];
    void *restrict dx = a->p[2];
    long h = a->n[1], w = a->n[2], c = a->n[3], p = a->n[4], q = a->n[5], kernel = a->n[6], stride = a->n[7], pad = a->n[8], dilation = a->n[9];
    float total[MAX_CHANNELS];
    for (long i = lo; i < hi; i++) {
        long n = i / (h * w), sy = i / w % h, sx = i % w;
        for (long k = 0; k < c; k++) total[k] = 0;
        for (long ky = 0; ky < kernel; ky++)
            for (long kx = 0; kx < kernel; kx++) {
                long oy = sy + pad - ky * dilation, ox = sx + pad - kx * dilation;
                if (oy < 0 || ox < 0 || oy % stride || ox % stride || oy / stride >= p || ox / stride >= q) continue;
                long from = ((n * p + oy / stride) * q + ox / stride) * c;
                uint8_t tap = (uint8_t)(ky * kernel + kx);
                for (long k = 0; k < c; k++) total[k] += place[from + k] == tap ? load(dy, from + k, bf) : 0;
            }
        for (long k = 0; k < c; k++) store(dx, i * c + k, total[k], bf);
    }
}
TYPED(maxpool_backward)

BODY void meanpool_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    const void *restrict x = a->p[0];
    long hw = a->n[1], c = a->n[2], ld = a->n[3];
    double total[MAX_CHANNELS];
    for (long n = lo; n < hi; n++) {
        for (long k = 0; k < c; k++) total[k] = 0;
        for (long i = 0; i < hw; i++)
            for (long k = 0; k < c; k++) total[k] += load(x, (n * hw + i) * ld + k, bf);
        for (long k = 0; k < c; k++) store(a->p[1], n * c + k, (float)(total[k] / hw), bf);
    }
}
TYPED(meanpool)

BODY void meanpool_backward_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    const void *restrict dy = a->p[0];
    void *restrict dx = a->p[1];
    long hw = a->n[1], c = a->n[2];
    for (long i = lo; i < hi; i++)
        for (long k = 0; k < c; k++) store(dx, i * c + k, load(dy, i / hw * c + k, bf) / hw, bf);
}
TYPED(meanpool_backward)

void ds_maxpool(args a) { ds_parallel(a, a->n[0] * a->n[4] * a->n[5], maxpool); }

void ds_maxpool_backward(args a) { ds_parallel(a, a->n[0] * a->n[1] * a->n[2], maxpool_backward); }

void ds_meanpool(args a) { ds_parallel(a, a->n[0], meanpool); }

void ds_meanpool_backward(args a) { ds_parallel(a, a->n[0] * a->n[1], meanpool_backward); }
