// Gradient descent, and folding of batch norms into weights.
#include "kernel.h"

VARIANTS static void sgd(args a, long lo, long hi, int thread) {
    (void)thread;
    float *restrict w = a->p[0], *restrict m = a->p[2];
    const float *restrict g = a->p[1];
    float momentum = a->f[0], decay = a->f[1], rate = *(const float *)a->p[3];
    for (long i = lo; i < hi; i++) {
        m[i] = momentum * m[i] + (g[i] + decay * w[i]);
        w[i] -= rate * m[i];
    }
}

static void fold(args a, long lo, long hi, int thread) {
    (void)thread;
    const float *w = a->p[0], *scale = a->p[1], *shift = a->p[2], *mean = a->p[3], *var = a->p[4];
    float *folded = a->p[5], *bias = a->p[6];
    long size = a->n[1];
    for (long o = lo; o < hi; o++) {
        double factor = scale[o] / sqrt((double)var[o] + a->f[0]);
        for (long i = 0; i < size; i++) folded[o * size + i] = (float)(w[o * size + i] * factor);
        bias[o] = (float)(shift[o] - mean[o] * factor);
    }
}

void ds_sgd(args a) { ds_parallel(a, a->n[0], sgd); }

void ds_fold(args a) { ds_parallel(a, a->n[0], fold); }
