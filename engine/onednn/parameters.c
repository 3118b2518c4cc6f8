// Weights: their layouts, gradient descent, and folding of batch norms.
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

// Packing. In the layouts of convolutions blocks of one kind of channel are
// neighbours; in bf16 they are pairs of the other kind. Which it is decides over
// what the innermost loop runs; a layout that is neither is written one by one.

enum { ROWS = 16, TILE = 256 }; // output channels taken together, numbers of each taken together

typedef float quad __attribute__((vector_size(16)));

#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (__typeof__((int __attribute__((vector_size(16)))){0})){__VA_ARGS__})
#endif

// y[j·ldy + i] = x[i·ldx + j] for m×n numbers.
BODY void transpose(const float *restrict x, long ldx, float *restrict y, long ldy, long m, long n) {
    long i = 0;
    for (; i + 4 <= m; i += 4) {
        long j = 0;
        for (; j + 4 <= n; j += 4) {
            quad a, b, c, d;
            const float *from = x + i * ldx + j;
            memcpy(&a, from, 16), memcpy(&b, from + ldx, 16), memcpy(&c, from + 2 * ldx, 16), memcpy(&d, from + 3 * ldx, 16);
            quad ab = SHUFFLE(a, b, 0, 4, 1, 5), cd = SHUFFLE(c, d, 0, 4, 1, 5);
            quad ef = SHUFFLE(a, b, 2, 6, 3, 7), gh = SHUFFLE(c, d, 2, 6, 3, 7);
            a = SHUFFLE(ab, cd, 0, 1, 4, 5), b = SHUFFLE(ab, cd, 2, 3, 6, 7);
            c = SHUFFLE(ef, gh, 0, 1, 4, 5), d = SHUFFLE(ef, gh, 2, 3, 6, 7);
            float *to = y + j * ldy + i;
            memcpy(to, &a, 16), memcpy(to + ldy, &b, 16), memcpy(to + 2 * ldy, &c, 16), memcpy(to + 3 * ldy, &d, 16);
        }
        for (; j < n; j++)
            for (long r = i; r < i + 4; r++) y[j * ldy + r] = x[r * ldx + j];
    }
    for (; i < m; i++)
        for (long j = 0; j < n; j++) y[j * ldy + i] = x[i * ldx + j];
}

// Whether count places follow each other at a distance.
static int follow(const long *places, long count, long step) {
    for (long i = 1; i < count; i++)
        if (places[i] != places[0] + i * step) return 0;
    return 1;
}

// Whether each second one of count places follows the one before.
static int paired(const long *places, long count) {
    for (long i = 1; i < count; i += 2)
        if (places[i] != places[i - 1] + 1) return 0;
    return 1;
}

BODY uint32_t pair(float first, float second) {
    uint16_t v[2];
    store(v, 0, first, 1), store(v, 1, second, 1);
    return v[0] | (uint32_t)v[1] << 16;
}

// Output channels are neighbours: w holds count rows, po their places.
BODY void pack_outputs(const float *restrict w, void *restrict packed, const long *po, const long *pi, const long *pk,
                       long count, long in, long taps, int bf) {
    float tile[TILE * ROWS]; // transposed
    long row = in * taps, most = MAX(TILE / taps & ~1L, 2);
    for (long first = 0; first < in; first += most) {
        long channels = MIN(most, in - first);
        transpose(w + first * taps, row, tile, ROWS, count, channels * taps);
        for (long i = 0; i < channels; i += 1 + bf)
            for (long k = 0; k < taps; k++) {
                const float *even = tile + (i * taps + k) * ROWS, *odd = even + taps * ROWS;
                long at = po[0] + pi[first + i] + pk[k];
                if (!bf)
                    for (long r = 0; r < count; r++) ((float *)packed)[at + r] = even[r];
                else if (i + 1 < channels)
                    for (long r = 0; r < count; r++) ((uint32_t *)packed)[at / 2 + r] = pair(even[r], odd[r]);
                else
                    for (long r = 0; r < count; r++) ((uint32_t *)packed)[at / 2 + r] = pair(even[r], 0);
            }
    }
}

// Input channels are neighbours, in groups of ROWS.
BODY void pack_inputs(const float *restrict w, void *restrict packed, const long *po, const long *pi, const long *pk,
                      long count, long in, long taps, int bf) {
    long row = in * taps;
    for (long o = 0; o < count; o += 1 + bf)
        for (long first = 0; first < in; first += ROWS)
            for (long k = 0; k < taps; k++) {
                const float *even = w + o * row + first * taps + k, *odd = even + row;
                long channels = MIN(ROWS, in - first), at = po[o] + pi[first] + pk[k];
                if (!bf)
                    for (long i = 0; i < channels; i++) ((float *)packed)[at + i] = even[i * taps];
                else if (o + 1 < count)
                    for (long i = 0; i < channels; i++) ((uint32_t *)packed)[at / 2 + i] = pair(even[i * taps], odd[i * taps]);
                else
                    for (long i = 0; i < channels; i++) ((uint32_t *)packed)[at / 2 + i] = pair(even[i * taps], 0);
            }
}

// Whether the places of input channels are neighbours in groups of ROWS.
static int grouped(const long *places, long count, long step) {
    for (long first = 0; first < count; first += ROWS)
        if (!follow(places + first, MIN(ROWS, count - first), step)) return 0;
    return 1;
}

BODY void pack_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    long out = a->n[0], in = a->n[1], taps = a->n[2];
    const float *w = a->p[0];
    const long *pi = (const long *)a->p[2] + out, *pk = pi + in;
    int by_inputs = grouped(pi, in, 1 + bf), paired_inputs = !bf || paired(pi, in);
    for (long first = lo * ROWS; first < MIN(hi * ROWS, out); first += ROWS) {
        long count = MIN(ROWS, out - first);
        const long *po = (const long *)a->p[2] + first;
        const float *rows = w + first * in * taps;
        if (paired_inputs && 2 * taps <= TILE && follow(po, count, 1 + bf))
            pack_outputs(rows, a->p[1], po, pi, pk, count, in, taps, bf);
        else if (by_inputs && (!bf || paired(po, count)))
            pack_inputs(rows, a->p[1], po, pi, pk, count, in, taps, bf);
        else
            for (long o = 0; o < count; o++)
                for (long i = 0; i < in; i++)
                    for (long k = 0; k < taps; k++) store(a->p[1], po[o] + pi[i] + pk[k], rows[(o * in + i) * taps + k], bf);
    }
}
TYPED(pack)

VARIANTS static void unpack(args a, long lo, long hi, int thread) {
    (void)thread;
    long out = a->n[0], in = a->n[1], taps = a->n[2], row = in * taps, most = MAX(TILE / taps, 1);
    const float *restrict packed = a->p[0];
    const long *pi = (const long *)a->p[2] + out, *pk = pi + in;
    float tile[TILE * ROWS]; // transposed
    for (long first = lo * ROWS; first < MIN(hi * ROWS, out); first += ROWS) {
        long count = MIN(ROWS, out - first);
        const long *po = (const long *)a->p[2] + first;
        float *restrict rows = (float *)a->p[1] + first * row;
        if (taps > TILE || !follow(po, count, 1)) {
            for (long o = 0; o < count; o++)
                for (long i = 0; i < in; i++)
                    for (long k = 0; k < taps; k++) rows[o * row + i * taps + k] = packed[po[o] + pi[i] + pk[k]];
            continue;
        }
        for (long i0 = 0; i0 < in; i0 += most) {
            long channels = MIN(most, in - i0);
            for (long i = 0; i < channels; i++)
                for (long k = 0; k < taps; k++)
                    for (long r = 0; r < count; r++) tile[(i * taps + k) * ROWS + r] = packed[po[0] + pi[i0 + i] + pk[k] + r];
            transpose(tile, ROWS, rows + i0 * taps, row, channels * taps, count);
        }
    }
}

void ds_pack(args a) {
    if (a->n[3]) memset(a->p[1], 0, a->n[3]);
    ds_parallel(a, (a->n[0] + ROWS - 1) / ROWS, pack);
}

void ds_unpack(args a) { ds_parallel(a, (a->n[0] + ROWS - 1) / ROWS, unpack); }

void ds_sgd(args a) { ds_parallel(a, a->n[0], sgd); }

void ds_fold(args a) { ds_parallel(a, a->n[0], fold); }
