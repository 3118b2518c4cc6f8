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
