// Batch norm, fused with the residual sum and the ReLU around it.
#include "kernel.h"

BODY void norm_body_(args a, long lo, long hi, int bf, int residual, int relu) {
    const void *restrict x = a->p[0];
    const float *scale = a->p[1], *shift = a->p[2], *mean = a->p[3], *var = a->p[4];
    const void *restrict r = a->p[5];
    void *restrict y = a->p[6];
    long c = a->n[1], ldx = a->n[2], ldr = a->n[3], ldy = a->n[4];
    float factor[MAX_CHANNELS];
    for (long k = 0; k < c; k++) factor[k] = scale[k] / sqrtf(var[k] + a->f[0]);
    for (long i = lo; i < hi; i++)
        for (long k = 0; k < c; k++) {
            float v = (load(x, i * ldx + k, bf) - mean[k]) * factor[k] + shift[k];
            if (residual) v += load(r, i * ldr + k, bf);
            if (relu) v = v < 0 ? 0 : v; // a NaN stays one
            store(y, i * ldy + k, v, bf);
        }
}
BODY void norm_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    if (a->p[5])
        a->relu ? norm_body_(a, lo, hi, bf, 1, 1) : norm_body_(a, lo, hi, bf, 1, 0);
    else
        a->relu ? norm_body_(a, lo, hi, bf, 0, 1) : norm_body_(a, lo, hi, bf, 0, 0);
}
TYPED(norm)

// Sums of dy and of dy·(x−mean), with dy masked by the ReLU's result.
BODY void norm_sums_(args a, long lo, long hi, int thread, int bf, int relu) {
    const void *restrict x = a->p[0];
    const void *restrict dy = a->p[1];
    const void *restrict y = a->p[2];
    const float *restrict mean = a->p[4];
    long c = a->n[1], ldx = a->n[2], ldd = a->n[3], ldy = a->n[4];
    double *restrict total = ds_partial(a, thread);
    memset(total, 0, 2 * c * sizeof(double));
    for (long c0 = 0; c0 < c; c0 += 64) {
        long m = MIN(64, c - c0);
        for (long i = lo; i < hi; i += BLOCK) {
            float s[64] = {0}, q[64] = {0};
            for (long j = i; j < MIN(i + BLOCK, hi); j++)
                for (long k = 0; k < m; k++) {
                    float d = load(dy, j * ldd + c0 + k, bf);
                    if (relu) d = load(y, j * ldy + c0 + k, bf) > 0 ? d : 0;
                    s[k] += d, q[k] += d * (load(x, j * ldx + c0 + k, bf) - mean[c0 + k]);
                }
            for (long k = 0; k < m; k++) total[c0 + k] += s[k], total[c + c0 + k] += q[k];
        }
    }
}
BODY void norm_sums_body(args a, long lo, long hi, int thread, int bf) {
    a->relu ? norm_sums_(a, lo, hi, thread, bf, 1) : norm_sums_(a, lo, hi, thread, bf, 0);
}
TYPED(norm_sums)

// dx = scale/σ · (dy − mean(dy) − x̂·mean(dy·x̂)), with the sums in a->work.
BODY void norm_dx_(args a, long lo, long hi, int bf, int relu) {
    const void *restrict x = a->p[0];
    const void *dy = a->p[1]; // whose memory dx may have
    const void *restrict y = a->p[2];
    const float *scale = a->p[3], *mean = a->p[4], *var = a->p[5];
    void *dx = a->p[6];
    long p = a->n[0], c = a->n[1], ldx = a->n[2], ldd = a->n[3], ldy = a->n[4], ldo = a->n[5];
    float factor[MAX_CHANNELS], constant[MAX_CHANNELS], slope[MAX_CHANNELS];
    for (long k = 0; k < c; k++) {
        float inverse = 1 / sqrtf(var[k] + a->f[0]);
        factor[k] = scale[k] * inverse;
        constant[k] = (float)(a->work[k] / p) * factor[k];
        slope[k] = (float)(a->work[c + k] / p) * factor[k] * inverse * inverse;
    }
    for (long i = lo; i < hi; i++) {
        _Pragma("GCC ivdep") for (long k = 0; k < c; k++) {
            float d = load(dy, i * ldd + k, bf);
            if (relu) d = load(y, i * ldy + k, bf) > 0 ? d : 0;
            float v = factor[k] * d - constant[k] - slope[k] * (load(x, i * ldx + k, bf) - mean[k]);
            store(dx, i * ldo + k, v, bf);
        }
    }
}
BODY void norm_dx_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    a->relu ? norm_dx_(a, lo, hi, bf, 1) : norm_dx_(a, lo, hi, bf, 0);
}
TYPED(norm_dx)

void ds_norm_backward(args a) {
    long p = a->n[0], c = a->n[1];
    const float *var = a->p[5];
    float *params = a->p[7];
    ds_parallel(a, p, norm_sums);
    ds_gather(a, p);
    for (long k = 0; k < c; k++) {
        params[k] = (float)(a->work[c + k] / sqrt((double)var[k] + a->f[0]));
        params[c + k] = (float)a->work[k];
    }
    if (a->p[6]) ds_parallel(a, p, norm_dx);
}

void ds_norm(args a) { ds_parallel(a, a->n[0], norm); }
