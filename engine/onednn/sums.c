// Sums over pixels, and the statistics of batch norms.
#include "kernel.h"

// First and second moment about the first pixel, which stands near the mean.
BODY void moments_body(args a, long lo, long hi, int thread, int bf) {
    const void *restrict x = a->p[0];
    long c = a->n[1], ld = a->n[2];
    double *restrict total = ds_partial(a, thread);
    memset(total, 0, 2 * c * sizeof(double));
    for (long c0 = 0; c0 < c; c0 += 64) {
        long m = MIN(64, c - c0);
        float origin[64];
        for (long k = 0; k < m; k++) origin[k] = load(x, c0 + k, bf);
        for (long i = lo; i < hi; i += BLOCK) {
            float s[64] = {0}, q[64] = {0};
            for (long j = i; j < MIN(i + BLOCK, hi); j++)
                for (long k = 0; k < m; k++) {
                    float d = load(x, j * ld + c0 + k, bf) - origin[k];
                    s[k] += d, q[k] += d * d;
                }
            for (long k = 0; k < m; k++) total[c0 + k] += s[k], total[c + c0 + k] += q[k];
        }
    }
}
TYPED(moments)

void ds_stats(args a) {
    long p = a->n[0], c = a->n[1];
    float *mean = a->p[1], *var = a->p[2];
    ds_parallel(a, p, moments);
    ds_gather(a, p);
    for (long k = 0; k < c; k++) {
        double d = a->work[k] / p, v = a->work[c + k] / p - d * d;
        mean[k] = (float)(load(a->p[0], k, a->bf) + d);
        var[k] = (float)(v < 0 ? 0 : v); // a NaN stays one
    }
}

BODY void channel_sums_body(args a, long lo, long hi, int thread, int bf) {
    const void *restrict x = a->p[0];
    long c = a->n[1], ld = a->n[2];
    double *restrict total = ds_partial(a, thread);
    memset(total, 0, 2 * c * sizeof(double));
    for (long i = lo; i < hi; i++)
        for (long k = 0; k < c; k++) total[k] += load(x, i * ld + k, bf);
}
TYPED(channel_sums)

void ds_channel_sum(args a) {
    float *y = a->p[1];
    ds_parallel(a, a->n[0], channel_sums);
    ds_gather(a, a->n[0]);
    for (long k = 0; k < a->n[1]; k++) y[k] = (float)a->work[k];
}

void ds_sum(args a) {
    double s = 0;
    ds_parallel(a, a->n[0], channel_sums);
    ds_gather(a, a->n[0]);
    for (long k = 0; k < a->n[1]; k++) s += a->work[k];
    *(float *)a->p[1] = (float)s;
}
