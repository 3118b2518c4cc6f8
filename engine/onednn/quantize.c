// Numbers as levels in 8 bits.
#include "kernel.h"

// The level of x in steps of 1/per, in the two's complement of a byte; ties go to the
// even one, and what is no number to the lowest.
BODY uint8_t level_of(float x, float per, float low) {
    const float nearest = 3 << 22; // adding it rounds what is much smaller to whole numbers
    float v = x * per, high = low + 255;
    v = v > low ? v : low;
    v = v < high ? v : high;
    return (uint8_t)(int32_t)((v + nearest) - nearest);
}

BODY float value_of(uint8_t level, float step, int with_sign) { return step * (with_sign ? (float)(int8_t)level : (float)level); }

BODY void quantize_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    const void *restrict x = a->p[0];
    uint8_t *restrict y = a->p[1];
    long c = a->n[1], ldx = a->n[2], ldy = a->n[3];
    float per = 1 / a->f[0], low = a->n[4];
    for (long i = lo; i < hi; i++)
        for (long k = 0; k < c; k++) y[i * ldy + k] = level_of(load(x, i * ldx + k, bf), per, low);
}
TYPED(quantize)

BODY void dequantize_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    const uint8_t *restrict x = a->p[0];
    void *restrict y = a->p[1];
    long c = a->n[1], ldx = a->n[2], ldy = a->n[3];
    float step = a->f[0];
    int with_sign = a->n[4] < 0;
    for (long i = lo; i < hi; i++)
        for (long k = 0; k < c; k++) store(y, i * ldy + k, value_of(x[i * ldx + k], step, with_sign), bf);
}
TYPED(dequantize)

static void copy_levels(args a, long lo, long hi, int thread) {
    (void)thread;
    long c = a->n[1], ldx = a->n[2], ldy = a->n[3];
    for (long i = lo; i < hi; i++) memcpy((char *)a->p[1] + i * ldy, (const char *)a->p[0] + i * ldx, c);
}

BODY void meanpool_levels_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    long hw = a->n[1], c = a->n[2], ld = a->n[3];
    int with_sign = a->n[4] < 0;
    int32_t total[MAX_CHANNELS];
    for (long n = lo; n < hi; n++) {
        const uint8_t *restrict x = (const uint8_t *)a->p[0] + n * hw * ld;
        double sum[MAX_CHANNELS];
        for (long k = 0; k < c; k++) sum[k] = 0;
        const long most = 1 << 22; // pixels of which 32 bits hold the sum
        for (long first = 0; first < hw; first += most) {
            for (long k = 0; k < c; k++) total[k] = 0;
            for (long i = first; i < MIN(first + most, hw); i++)
                for (long k = 0; k < c; k++) total[k] += with_sign ? (int8_t)x[i * ld + k] : x[i * ld + k];
            for (long k = 0; k < c; k++) sum[k] += total[k];
        }
        for (long k = 0; k < c; k++) store(a->p[1], n * c + k, (float)(a->f[0] * sum[k] / hw), bf);
    }
}
TYPED(meanpool_levels)

static void weight_sizes(args a, long lo, long hi, int thread) {
    (void)thread;
    long size = a->n[1];
    for (long o = lo; o < hi; o++) {
        const float *w = (const float *)a->p[0] + o * size;
        float most = 0;
        for (long i = 0; i < size; i++) most = MAX(most, fabsf(w[i]));
        ((float *)a->p[1])[o] = most;
    }
}

enum { LARGEST = 127 }; // level of a weight

// In double, as a level that is rounded to the other side is another network.
BODY double weight_level(float w, float size) { return size > 0 ? rint(w / ((double)size / LARGEST)) : 0; }

static void round_weights(args a, long lo, long hi, int thread) {
    (void)thread;
    long size = a->n[1];
    for (long o = lo; o < hi; o++) {
        float most = ((const float *)a->p[1])[o];
        const float *w = (const float *)a->p[0] + o * size;
        float *rounded = (float *)a->p[2] + o * size;
        for (long i = 0; i < size; i++) rounded[i] = (float)((double)most / LARGEST * weight_level(w[i], most));
    }
}

static void pack_levels(args a, long lo, long hi, int thread) {
    (void)thread;
    long out = a->n[0], in = a->n[1], taps = a->n[2];
    const long *po = a->p[2], *pi = po + out, *pk = pi + in;
    for (long o = lo; o < hi; o++) {
        const float *w = (const float *)a->p[0] + o * in * taps;
        float most = ((const float *)a->p[3])[o];
        for (long i = 0; i < in; i++)
            for (long k = 0; k < taps; k++) ((int8_t *)a->p[1])[po[o] + pi[i] + pk[k]] = (int8_t)weight_level(w[i * taps + k], most);
    }
}

void ds_quantize(args a) { ds_parallel(a, a->n[0], quantize); }

void ds_dequantize(args a) { ds_parallel(a, a->n[0], dequantize); }

void ds_copy_levels(args a) { ds_parallel(a, a->n[0], copy_levels); }

void ds_meanpool_levels(args a) { ds_parallel(a, a->n[0], meanpool_levels); }

void ds_weight_sizes(args a) { ds_parallel(a, a->n[0], weight_sizes); }

void ds_round_weights(args a) { ds_parallel(a, a->n[0], round_weights); }

void ds_pack_levels(args a) {
    if (a->n[3]) memset(a->p[1], 0, a->n[3]);
    ds_parallel(a, a->n[0], pack_levels);
}

void ds_factors(args a) {
    const float *sizes = a->p[0], *bias = a->p[1];
    for (long o = 0; o < a->n[0]; o++) {
        // What a product of a level of x and one of w stands for. It is not so small that
        // the bias over it would leave float's range; a norm may have a factor of 0.
        double unit = (double)sizes[o] / LARGEST * a->f[0];
        if (fabs(unit) < 1e-24) unit = 1e-24;
        ((float *)a->p[2])[o] = (float)(unit / a->f[1]);
        ((float *)a->p[3])[o] = bias ? (float)(bias[o] / unit) : 0;
    }
}
