// Losses.
#include "kernel.h"

void ds_focal(args a) {
    double s = 0;
    for (long i = 0; i < a->n[0]; i++) {
        float p = load(a->p[0], i, a->bf), q = load(a->p[1], i, a->bf) > 0.5f ? p : 1 - p;
        s -= (double)MAX(logf(q), -100.f) * powf(1 - q, a->f[0]);
    }
    *(float *)a->p[2] = (float)(s / a->n[0]);
}

void ds_focal_backward(args a) {
    float gamma = a->f[0], scale = *(const float *)a->p[2] / a->n[0];
    for (long i = 0; i < a->n[0]; i++) {
        int positive = load(a->p[1], i, a->bf) > 0.5f;
        float p = load(a->p[0], i, a->bf), q = positive ? p : 1 - p, r = 1 - q;
        float d = -powf(r, gamma) * r / MAX(q * r, 1e-12f);
        if (gamma != 0 && r != 0) d += gamma * powf(r, gamma - 1) * MAX(logf(q), -100.f); // else 0, and might come out as 0·∞
        store(a->p[3], i, (positive ? d : -d) * scale, a->bf);
    }
}

void ds_l1(args a) {
    double s = 0;
    for (long i = 0; i < a->n[0]; i++) s += fabsf(load(a->p[0], i, a->bf) - load(a->p[1], i, a->bf));
    *(float *)a->p[2] = (float)(s / a->n[0]);
}

void ds_l1_backward(args a) {
    float scale = *(const float *)a->p[2] / a->n[0];
    for (long i = 0; i < a->n[0]; i++) {
        float d = load(a->p[0], i, a->bf) - load(a->p[1], i, a->bf);
        store(a->p[3], i, d > 0 ? scale : d < 0 ? -scale : 0, a->bf);
    }
}

// The largest of c logits, and the logarithm of the sum of their exponentials
// after it is taken from them.
static float log_sum(const void *x, long at, long c, int bf, float *largest) {
    float most = -INFINITY, s = 0;
    for (long k = 0; k < c; k++) most = MAX(load(x, at + k, bf), most); // a NaN comes back with the sum
    for (long k = 0; k < c; k++) s += expf(load(x, at + k, bf) - most);
    *largest = most;
    return logf(s);
}

void ds_cross_entropy(args a) {
    long p = a->n[0], c = a->n[1];
    float keep = 1 - a->f[0], even = a->f[0] / c;
    double s = 0;
    for (long i = 0; i < p; i++) {
        float most, log = log_sum(a->p[0], i * a->n[2], c, a->bf, &most);
        for (long k = 0; k < c; k++)
            s -= (double)(keep * load(a->p[1], i * a->n[3] + k, a->bf) + even) * (load(a->p[0], i * a->n[2] + k, a->bf) - most - log);
    }
    *(float *)a->p[2] = (float)(s / p);
}

void ds_cross_entropy_backward(args a) {
    long p = a->n[0], c = a->n[1];
    float keep = 1 - a->f[0], even = a->f[0] / c, scale = *(const float *)a->p[2] / p;
    for (long i = 0; i < p; i++) {
        float most, log = log_sum(a->p[0], i * a->n[2], c, a->bf, &most);
        for (long k = 0; k < c; k++) {
            float share = expf(load(a->p[0], i * a->n[2] + k, a->bf) - most - log);
            store(a->p[3], i * a->n[4] + k, (share - keep * load(a->p[1], i * a->n[3] + k, a->bf) - even) * scale, a->bf);
        }
    }
}
