// Spread convolution.
#include "kernel.h"

// Along one axis, positions at which the same taps lie inside form a class. The
// classes in order: as many as there are taps before the border, and after.
typedef struct {
    long size, kernel, padding, dilation;
} axis;

BODY int inside(axis a, long at, long tap) {
    long i = at + tap * a.dilation - a.padding;
    return i >= 0 && i < a.size;
}

// The bits of the taps that lie inside.
BODY unsigned mask_of(axis a, long at) {
    unsigned m = 0;
    for (long k = 0; k < a.kernel; k++) m |= (unsigned)inside(a, at, k) << k;
    return m;
}

// Numbers the masks of an axis in the order of their first appearance.
static long classes(axis a, unsigned *masks, uint8_t *of) {
    long count = 0;
    for (long i = 0; i < a.size; i++) {
        unsigned m = mask_of(a, i);
        long k = 0;
        while (k < count && masks[k] != m) k++;
        if (k == count) masks[count++] = m;
        of[i] = (uint8_t)k;
    }
    return count;
}

enum { MAX_KERNEL = 16, MAX_SIDE = 4096 };

// A mask is a run of taps: it is told by where the run begins and ends.
long ds_classes(long kernel) { return kernel * (kernel + 1) / 2 + 1; }

// taps[n][tap][o] = Σ over channels of p·w.
BODY void spread_taps_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    const float *restrict w = a->p[1];
    float *restrict taps = a->p[3];
    long c = a->n[1], o = a->n[4], kk = a->n[5] * a->n[5], ldw = a->n[8];
    for (long i = lo; i < hi; i++) {
        long n = i / o, out = i % o;
        float s[MAX_KERNEL * MAX_KERNEL] = {0};
        for (long k = 0; k < c; k++) {
            float v = load(a->p[0], n * c + k, bf);
            for (long t = 0; t < kk; t++) s[t] += v * w[out * ldw + k * kk + t];
        }
        for (long t = 0; t < kk; t++) taps[(n * kk + t) * o + out] = s[t];
    }
}
TYPED(spread_taps)

// Every pixel is the sum of the taps that lie inside there; a pixel of its left
// neighbour's class is a copy of it.
BODY void spread_rows_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    const float *restrict taps = a->p[3];
    long h = a->n[2], w = a->n[3], o = a->n[4], kernel = a->n[5], width = bf ? 2 : 4;
    axis vertical = {h, kernel, a->n[6], a->n[7]}, horizontal = {w, kernel, a->n[6], a->n[7]};
    float s[MAX_CHANNELS];
    for (long row = lo; row < hi; row++) {
        long n = row / h;
        unsigned rows = mask_of(vertical, row % h), before = 0;
        for (long x = 0; x < w; x++) {
            char *y = (char *)a->p[2] + (row * w + x) * o * width;
            unsigned columns = mask_of(horizontal, x);
            if (x > 0 && columns == before) {
                memcpy(y, y - o * width, o * width);
                continue;
            }
            before = columns;
            for (long k = 0; k < o; k++) s[k] = 0;
            for (long t = 0; t < kernel * kernel; t++)
                if (rows >> (t / kernel) & 1 && columns >> (t % kernel) & 1)
                    for (long k = 0; k < o; k++) s[k] += taps[(n * kernel * kernel + t) * o + k];
            for (long k = 0; k < o; k++) store(y, k, s[k], bf);
        }
    }
}
TYPED(spread_rows)

// Sums dy by class of pixel, then the classes in which a tap lies inside.
BODY void tap_sums_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    long h = a->n[1], w = a->n[2], o = a->n[3], kernel = a->n[4], ld = a->n[7];
    axis vertical = {h, kernel, a->n[5], a->n[6]}, horizontal = {w, kernel, a->n[5], a->n[6]};
    unsigned row_masks[MAX_KERNEL * MAX_KERNEL], column_masks[MAX_KERNEL * MAX_KERNEL];
    uint8_t row_class[MAX_SIDE], column_class[MAX_SIDE];
    long rows = classes(vertical, row_masks, row_class), columns = classes(horizontal, column_masks, column_class);
    long room = ds_classes(kernel) * ds_classes(kernel) * o;
    for (long n = lo; n < hi; n++) {
        float *restrict by_class = (float *)a->p[2] + n * room;
        memset(by_class, 0, rows * columns * o * sizeof(float));
        for (long y = 0; y < h; y++) {
            for (long x = 0; x < w;) {
                // Sums of blocks are added up, which loses less than one long sum.
                float s[MAX_CHANNELS];
                for (long k = 0; k < o; k++) s[k] = 0;
                long class = column_class[x], end = MIN(x + BLOCK, w);
                for (; x < end && column_class[x] == class; x++)
                    for (long k = 0; k < o; k++) s[k] += load(a->p[0], ((n * h + y) * w + x) * ld + k, bf);
                float *restrict total = by_class + (row_class[y] * columns + class) * o;
                for (long k = 0; k < o; k++) total[k] += s[k];
            }
        }
        float *restrict sums = (float *)a->p[1] + n * o * kernel * kernel;
        for (long t = 0; t < kernel * kernel; t++)
            for (long k = 0; k < o; k++) {
                double total = 0;
                for (long r = 0; r < rows; r++)
                    for (long q = 0; q < columns; q++)
                        if (row_masks[r] >> (t / kernel) & 1 && column_masks[q] >> (t % kernel) & 1)
                            total += by_class[(r * columns + q) * o + k];
                sums[k * kernel * kernel + t] = (float)total;
            }
    }
}
TYPED(tap_sums)

BODY void spread_data_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    const float *restrict sums = a->p[0], *restrict w = a->p[1];
    long c = a->n[1], o = a->n[2], kk = a->n[3], ldw = a->n[4];
    for (long n = lo; n < hi; n++) {
        float total[MAX_CHANNELS] = {0};
        for (long out = 0; out < o; out++)
            for (long k = 0; k < c; k++)
                for (long t = 0; t < kk; t++) total[k] += sums[(n * o + out) * kk + t] * w[out * ldw + k * kk + t];
        for (long k = 0; k < c; k++) store(a->p[2], n * c + k, total[k], bf);
    }
}
TYPED(spread_data)

BODY void spread_weights_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    const float *restrict sums = a->p[1];
    float *restrict dw = a->p[2];
    long batch = a->n[0], c = a->n[1], o = a->n[2], kk = a->n[3], ld = a->n[4];
    for (long out = lo; out < hi; out++) {
        float *row = dw + out * ld;
        for (long i = 0; i < c * kk; i++) row[i] = 0;
        for (long n = 0; n < batch; n++)
            for (long k = 0; k < c; k++) {
                float v = load(a->p[0], n * c + k, bf);
                for (long t = 0; t < kk; t++) row[k * kk + t] += v * sums[(n * o + out) * kk + t];
            }
    }
}
TYPED(spread_weights)

void ds_spread(args a) { ds_parallel(a, a->n[0] * a->n[4], spread_taps); ds_parallel(a, a->n[0] * a->n[2], spread_rows); }

void ds_tap_sums(args a) { ds_parallel(a, a->n[0], tap_sums); }

void ds_spread_data(args a) { ds_parallel(a, a->n[0], spread_data); }

void ds_spread_weights(args a) { ds_parallel(a, a->n[2], spread_weights); }
