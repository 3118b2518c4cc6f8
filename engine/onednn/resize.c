// Bilinear resizing.
#include "kernel.h"

// Where output index o of a resize from n to m samples: first neighbour,
// second neighbour and the second's weight.
BODY void sample(long o, long n, long m, long *i0, long *i1, float *weight) {
    double at = (o + 0.5) * n / m - 0.5;
    if (at < 0) at = 0;
    *i0 = (long)at;
    *i1 = MIN(*i0 + 1, n - 1);
    *weight = (float)(at - *i0);
}

BODY void resize_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    const void *restrict x = a->p[0];
    void *restrict y = a->p[1];
    long h = a->n[1], w = a->n[2], p = a->n[3], q = a->n[4], c = a->n[5], ldx = a->n[6], ldy = a->n[7];
    for (long row = lo; row < hi; row++) {
        long n = row / p, y0, y1;
        float fy;
        sample(row % p, h, p, &y0, &y1, &fy);
        for (long o = 0; o < q; o++) {
            long x0, x1, to = (row * q + o) * ldy;
            float fx;
            sample(o, w, q, &x0, &x1, &fx);
            long i00 = ((n * h + y0) * w + x0) * ldx, i01 = ((n * h + y0) * w + x1) * ldx;
            long i10 = ((n * h + y1) * w + x0) * ldx, i11 = ((n * h + y1) * w + x1) * ldx;
            float w00 = (1 - fy) * (1 - fx), w01 = (1 - fy) * fx, w10 = fy * (1 - fx), w11 = fy * fx;
            for (long k = 0; k < c; k++)
                store(y, to + k, w00 * load(x, i00 + k, bf) + w01 * load(x, i01 + k, bf) + w10 * load(x, i10 + k, bf) + w11 * load(x, i11 + k, bf), bf);
        }
    }
}
TYPED(resize)

// The range of outputs of a resize from n to m that may sample input s.
BODY void reach(long s, long n, long m, long *lo, long *hi) {
    *lo = s == 0 ? 0 : MAX((long)floor((s - 0.5) * m / n - 0.5), 0);
    *hi = s == n - 1 ? m - 1 : MIN((long)ceil((s + 1.5) * m / n - 0.5), m - 1);
}

// Weight with which output o samples input s.
BODY float share(long o, long s, long n, long m) {
    long i0, i1;
    float weight;
    sample(o, n, m, &i0, &i1, &weight);
    return (i0 == s ? 1 - weight : 0) + (i1 == s ? weight : 0);
}

BODY void resize_backward_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    const void *restrict dy = a->p[0];
    void *restrict dx = a->p[1];
    long h = a->n[1], w = a->n[2], p = a->n[3], q = a->n[4], c = a->n[5], ldd = a->n[6], ldx = a->n[7];
    float total[MAX_CHANNELS];
    for (long i = lo; i < hi; i++) {
        long n = i / (h * w), sy = i / w % h, sx = i % w, top, bottom, left, right;
        reach(sy, h, p, &top, &bottom);
        reach(sx, w, q, &left, &right);
        for (long k = 0; k < c; k++) total[k] = 0;
        for (long oy = top; oy <= bottom; oy++) {
            float fy = share(oy, sy, h, p);
            if (fy == 0) continue;
            for (long ox = left; ox <= right; ox++) {
                float f = fy * share(ox, sx, w, q);
                if (f == 0) continue;
                long from = ((n * p + oy) * q + ox) * ldd;
                for (long k = 0; k < c; k++) total[k] += f * load(dy, from + k, bf);
            }
        }
        for (long k = 0; k < c; k++) store(dx, i * ldx + k, total[k], bf);
    }
}
TYPED(resize_backward)

void ds_resize(args a) { ds_parallel(a, a->n[0] * a->n[3], resize); }

void ds_resize_backward(args a) { ds_parallel(a, a->n[0] * a->n[1] * a->n[2], resize_backward); }
