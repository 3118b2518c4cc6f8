// Convolution 1×1 to one channel.
#include "kernel.h"

BODY void dot_forward_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    const void *restrict x = a->p[0];
    const float *restrict w = a->p[1], *bias = a->p[2];
    float *restrict y = a->p[3], b = bias ? *bias : 0;
    long c = a->n[1], ld = a->n[2];
    for (long i = lo; i < hi; i++) {
        float s[LANES] = {0};
        long k = 0;
        for (; k + LANES <= c; k += LANES)
            for (int l = 0; l < LANES; l++) s[l] += load(x, i * ld + k + l, bf) * w[k + l];
        for (; k < c; k++) s[0] += load(x, i * ld + k, bf) * w[k];
        y[i] = lanes_sum(s) + b;
    }
}
TYPED(dot_forward)

BODY void dot_backward_data_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    const float *restrict dy = a->p[0], *restrict w = a->p[1];
    void *restrict dx = a->p[2];
    long c = a->n[1], ld = a->n[2];
    for (long i = lo; i < hi; i++)
        for (long k = 0; k < c; k++) store(dx, i * ld + k, dy[i] * w[k], bf);
}
TYPED(dot_backward_data)

BODY void dot_weights_body(args a, long lo, long hi, int thread, int bf) {
    const void *restrict x = a->p[0];
    const float *restrict dy = a->p[1];
    long c = a->n[1], ld = a->n[2];
    double *restrict total = ds_partial(a, thread);
    memset(total, 0, 2 * c * sizeof(double));
    for (long i = lo; i < hi; i++)
        for (long k = 0; k < c; k++) total[k] += dy[i] * load(x, i * ld + k, bf);
}
TYPED(dot_weights)

void ds_dot_backward_weights(args a) {
    float *dw = a->p[2];
    ds_parallel(a, a->n[0], dot_weights);
    ds_gather(a, a->n[0]);
    for (long k = 0; k < a->n[1]; k++) dw[k] = (float)a->work[k];
}

void ds_dot(args a) { ds_parallel(a, a->n[0], dot_forward); }

void ds_dot_backward_data(args a) { ds_parallel(a, a->n[0], dot_backward_data); }
