// Products and cosine similarity of normalised features.
#include "kernel.h"

// Σa·b over channels.
BODY float dot(const void *a, long i, const void *b, long j, long c, int bf) {
    float s[LANES] = {0};
    long k = 0;
    for (; k + LANES <= c; k += LANES)
        for (int l = 0; l < LANES; l++) s[l] += load(a, i + k + l, bf) * load(b, j + k + l, bf);
    for (; k < c; k++) s[0] += load(a, i + k, bf) * load(b, j + k, bf);
    return lanes_sum(s);
}

BODY void cosine_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    const void *restrict u = a->p[0];
    const void *restrict v = a->p[1];
    void *restrict product = a->p[2];
    float *restrict similarity = a->p[3];
    long c = a->n[1], ldu = a->n[2], ldv = a->n[3], ldp = a->n[4];
    for (long i = lo; i < hi; i++) {
        float nu = sqrtf(dot(u, i * ldu, u, i * ldu, c, bf)) + a->f[0], nv = sqrtf(dot(v, i * ldv, v, i * ldv, c, bf)) + a->f[0];
        float ru = 1 / nu, rv = 1 / nv;
        if (similarity) similarity[i] = dot(u, i * ldu, v, i * ldv, c, bf) * ru * rv;
        if (product)
            for (long k = 0; k < c; k++)
                store(product, i * ldp + k, (load(u, i * ldu + k, bf) * ru) * (load(v, i * ldv + k, bf) * rv) * a->f[1], bf);
    }
}
TYPED(cosine)

// With g = dproduct + dsimilarity and e = g·b̂, da = (e − â·(Σ e·a)/‖a‖)/(‖a‖+ε), and the same with a and b exchanged.
BODY void cosine_backward_one(args a, long i, const void *u, long ldu, const void *v, long ldv, void *du, int bf) {
    const void *dp = a->p[2];
    const float *ds = a->p[3];
    long c = a->n[1], ldp = a->n[4];
    float norm = sqrtf(dot(u, i * ldu, u, i * ldu, c, bf));
    float ru = 1 / (norm + a->f[0]), rv = 1 / (sqrtf(dot(v, i * ldv, v, i * ldv, c, bf)) + a->f[0]);
    float s = ds ? ds[i] : 0, along = 0;
    if (dp)
        for (long k = 0; k < c; k++)
            along += (load(dp, i * ldp + k, bf) + s) * load(v, i * ldv + k, bf) * load(u, i * ldu + k, bf);
    else
        along = s * dot(u, i * ldu, v, i * ldv, c, bf);
    along = norm > 0 ? along * rv * ru / norm : 0;
    for (long k = 0; k < c; k++) {
        float g = s + (dp ? load(dp, i * ldp + k, bf) : 0);
        store(du, i * c + k, (g * load(v, i * ldv + k, bf) * rv - load(u, i * ldu + k, bf) * along) * ru, bf);
    }
}
BODY void cosine_backward_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    for (long i = lo; i < hi; i++) {
        if (a->p[4]) cosine_backward_one(a, i, a->p[0], a->n[2], a->p[1], a->n[3], a->p[4], bf);
        if (a->p[5]) cosine_backward_one(a, i, a->p[1], a->n[3], a->p[0], a->n[2], a->p[5], bf);
    }
}
TYPED(cosine_backward)

void ds_cosine(args a) { ds_parallel(a, a->n[0], cosine); }

void ds_cosine_backward(args a) { ds_parallel(a, a->n[0], cosine_backward); }
