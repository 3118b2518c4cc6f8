// Winograd's convolutions of 3×3 and stride 1 (Lavin and Gray, Fast Algorithms for
// Convolutional Neural Networks, CVPR 2016).
//
// A tile of m×m results needs (m+2)×(m+2) numbers of the source. These, and the 3×3
// weights, are transformed so that what is left between them is one product for each of
// the (m+2)² places: over all tiles a product of matrices, which oneDNN computes. With
// m = 2 that takes 16 multiplications in place of 36, with m = 4 36 in place of 144, with
// m = 6 64 in place of 324.
//
// A transform of a row of numbers is that of Toom and Cook for the points 0, infinity and,
// with m = 2, ±1, with m = 4 ±a and ±b, with m = 6 ±1/2, ±1 and ±2. With a = 5/8 and b = 3/2,
// as oneDNN takes them, sums lose fewer digits than with the points 1 and 2 of the paper.
//
// With a dilation d every d-th row and column make a picture of their own, so that tiles
// are taken there.
#include "kernel.h"

enum { WIDE = 16 }; // channels at a time
typedef float wide __attribute__((vector_size(4 * WIDE)));
typedef int32_t wide_int __attribute__((vector_size(4 * WIDE)));
typedef uint32_t wide_bits __attribute__((vector_size(4 * WIDE)));
typedef uint16_t wide_half __attribute__((vector_size(2 * WIDE)));

enum { MOST = 8 }; // places across a tile

BODY void get(wide *v, const void *p, long i, int bf) {
    if (!bf) {
        memcpy(v, (const float *)p + i, sizeof *v);
        return;
    }
    wide_half h;
    memcpy(&h, (const uint16_t *)p + i, sizeof h);
    *v = (wide)(__builtin_convertvector(h, wide_bits) << 16);
}

BODY void put(void *p, long i, const wide *v, int bf) {
    if (!bf) {
        memcpy((float *)p + i, v, sizeof *v);
        return;
    }
    wide_bits u = (wide_bits)*v; // rounded as store does
    wide_bits rounded = u + 0x7fff + ((u >> 16) & 1), nan = u | 0x400000, is = (wide_bits)(*v != *v);
    wide_half h = __builtin_convertvector(((rounded & ~is) | (nan & is)) >> 16, wide_half);
    memcpy((uint16_t *)p + i, &h, sizeof h);
}

#define A 0.625f
#define B 1.5f
#define AA (A * A)
#define BB (B * B)

// The transform of m+2 numbers of a source, step apart.
BODY void transform_source(int m, const wide *x, long step, wide *y) {
    const wide x0 = x[0], x1 = x[step], x2 = x[2 * step], x3 = x[3 * step];
    if (m == 2) {
        y[0] = x2 - x0, y[1] = x1 + x2, y[2] = x2 - x1, y[3] = x3 - x1;
        return;
    }
    const wide x4 = x[4 * step], x5 = x[5 * step];
    if (m == 6) {
        const wide x6 = x[6 * step], x7 = x[7 * step];
        wide even = x6 - 5 * x4 + 4 * x2, odd = .5f * (x5 - 5 * x3 + 4 * x1);
        wide even2 = x6 - 4.25f * x4 + x2, odd2 = x5 - 4.25f * x3 + x1;
        wide even3 = x6 - 1.25f * x4 + .25f * x2, odd3 = 2 * (x5 - 1.25f * x3 + .25f * x1);
        y[0] = x6 - x0 + 5.25f * (x2 - x4);
        y[1] = even + odd, y[2] = even - odd;
        y[3] = even2 + odd2, y[4] = even2 - odd2;
        y[5] = even3 + odd3, y[6] = even3 - odd3;
        y[7] = x7 - x1 + 5.25f * (x3 - x5);
        return;
    }
    wide even = x4 - BB * x2, odd = A * (x3 - BB * x1);
    wide even2 = x4 - AA * x2, odd2 = B * (x3 - AA * x1);
    y[0] = x4 - (AA + BB) * x2 + AA * BB * x0;
    y[1] = even + odd, y[2] = even - odd;
    y[3] = even2 + odd2, y[4] = even2 - odd2;
    y[5] = x5 - (AA + BB) * x3 + AA * BB * x1;
}

// The way back, to m numbers, step apart.
BODY void transform_target(int m, const wide *x, wide *y, long step) {
    if (m == 2) {
        y[0] = x[0] + x[1] + x[2], y[step] = x[1] - x[2] + x[3];
        return;
    }
    wide a = x[1] + x[2], b = x[3] + x[4], c = x[1] - x[2], d = x[3] - x[4];
    if (m == 6) {
        wide e = x[5] + x[6], f = x[5] - x[6];
        y[0] = x[0] + a + b + e;
        y[step] = .5f * c + d + 2 * f;
        y[2 * step] = .25f * a + b + 4 * e;
        y[3 * step] = .125f * c + d + 8 * f;
        y[4 * step] = .0625f * a + b + 16 * e;
        y[5 * step] = .03125f * c + d + 32 * f + x[7];
        return;
    }
    y[0] = x[0] + a + b;
    y[step] = A * c + B * d;
    y[2 * step] = AA * a + BB * b;
    y[3 * step] = A * AA * c + B * BB * d + x[5];
}

// The transpose of transform_target, of m numbers, step apart.
BODY void transform_gradient(int m, const wide *x, long step, wide *y) {
    const wide x0 = x[0], x1 = x[step];
    if (m == 2) {
        y[0] = x0, y[1] = x0 + x1, y[2] = x0 - x1, y[3] = x1;
        return;
    }
    const wide x2 = x[2 * step], x3 = x[3 * step];
    if (m == 6) {
        const wide x4 = x[4 * step], x5 = x[5 * step];
        wide even = x0 + .25f * x2 + .0625f * x4, odd = .5f * x1 + .125f * x3 + .03125f * x5;
        wide even2 = x0 + x2 + x4, odd2 = x1 + x3 + x5;
        wide even3 = x0 + 4 * x2 + 16 * x4, odd3 = 2 * x1 + 8 * x3 + 32 * x5;
        y[0] = x0;
        y[1] = even + odd, y[2] = even - odd;
        y[3] = even2 + odd2, y[4] = even2 - odd2;
        y[5] = even3 + odd3, y[6] = even3 - odd3;
        y[7] = x5;
        return;
    }
    wide even = x0 + AA * x2, odd = A * (x1 + AA * x3);
    wide even2 = x0 + BB * x2, odd2 = B * (x1 + BB * x3);
    y[0] = x0;
    y[1] = even + odd, y[2] = even - odd;
    y[3] = even2 + odd2, y[4] = even2 - odd2;
    y[5] = x3;
}

// Row i of the transform of weights times 3 numbers.
static const float filters[3][MOST][3] = {
    {{-1, 0, 0}, {.5f, .5f, .5f}, {.5f, -.5f, .5f}, {0, 0, 1}},
    {
        {1 / (AA * BB), 0, 0},
        {1 / (2 * AA * (AA - BB)), A / (2 * AA * (AA - BB)), AA / (2 * AA * (AA - BB))},
        {1 / (2 * AA * (AA - BB)), -A / (2 * AA * (AA - BB)), AA / (2 * AA * (AA - BB))},
        {1 / (2 * BB * (BB - AA)), B / (2 * BB * (BB - AA)), BB / (2 * BB * (BB - AA))},
        {1 / (2 * BB * (BB - AA)), -B / (2 * BB * (BB - AA)), BB / (2 * BB * (BB - AA))},
        {0, 0, 1},
    },
    {
        {-1, 0, 0},
        {32 / 45.f, 16 / 45.f, 8 / 45.f},
        {32 / 45.f, -16 / 45.f, 8 / 45.f},
        {-2 / 9.f, -2 / 9.f, -2 / 9.f},
        {-2 / 9.f, 2 / 9.f, -2 / 9.f},
        {1 / 90.f, 2 / 90.f, 4 / 90.f},
        {1 / 90.f, -2 / 90.f, 4 / 90.f},
        {0, 0, 1},
    },
};

// Where the tiles of a picture of h×w lie.
typedef struct {
    long phases_y, phases_x, rows, columns; // tiles of a picture: the product
} grid;

BODY grid grid_of(long h, long w, long dilation, long m) {
    grid g = {.phases_y = MIN(dilation, h), .phases_x = MIN(dilation, w)};
    long step = dilation * m;
    g.rows = (h + step - 1) / step, g.columns = (w + step - 1) / step;
    return g;
}

long ds_tiles(long h, long w, long dilation, long m) {
    grid g = grid_of(h, w, dilation, m);
    return g.phases_y * g.phases_x * g.rows * g.columns;
}

// The picture and the first row and column of a tile.
BODY void locate(const grid *g, long tile, long dilation, long m, long *picture, long *y, long *x) {
    long column = tile % g->columns, rest = tile / g->columns;
    long row = rest % g->rows;
    rest /= g->rows;
    *x = rest % g->phases_x + dilation * m * column;
    rest /= g->phases_x;
    *y = rest % g->phases_y + dilation * m * row;
    *picture = rest / g->phases_y;
}

// What both transforms of activations share: side×side numbers of each channel, the first
// one margin rows and columns before the tile's.
BODY void spread_tiles(args a, long lo, long hi, int bf, int m, int side, int gradient) {
    long chunk = a->n[1], end = a->n[2], h = a->n[3], w = a->n[4], c = a->n[5], ld = a->n[6];
    long p = a->n[7], q = a->n[8], margin = a->n[9], dilation = a->n[10];
    const grid g = grid_of(p, q, dilation, m);
    const int all = m + 2;
    long plane = chunk * c;
    float *to = a->p[1];
    for (long i = lo; i < hi; i++) {
        float *v = to + i * c;
        if (a->n[0] + i >= end) {
            for (int k = 0; k < all * all; k++) memset(v + k * plane, 0, c * sizeof *v);
            continue;
        }
        long picture, top, left;
        locate(&g, a->n[0] + i, dilation, m, &picture, &top, &left);
        long at[MOST * MOST];
        int inside = 1;
        for (int r = 0; r < side; r++)
            for (int s = 0; s < side; s++) {
                long y = top - margin + r * dilation, x = left - margin + s * dilation;
                int in = y >= 0 && y < h && x >= 0 && x < w;
                at[r * side + s] = in ? ((picture * h + y) * w + x) * ld : -1;
                inside &= in;
            }
        for (long k = 0; k < c; k += WIDE) {
            wide x[MOST * MOST], t[MOST * MOST], y[MOST];
            for (int e = 0; e < side * side; e++) {
                if (inside || at[e] >= 0)
                    get(&x[e], a->p[0], at[e] + k, bf);
                else
                    x[e] = (wide){0};
            }
            for (int s = 0; s < side; s++) {
                if (gradient)
                    transform_gradient(m, x + s, side, y);
                else
                    transform_source(m, x + s, side, y);
                for (int r = 0; r < all; r++) t[r * side + s] = y[r];
            }
            for (int r = 0; r < all; r++) {
                if (gradient)
                    transform_gradient(m, t + r * side, 1, y);
                else
                    transform_source(m, t + r * side, 1, y);
                for (int s = 0; s < all; s++) memcpy(v + (r * all + s) * plane + k, &y[s], sizeof y[s]);
            }
        }
    }
}

#define SPREAD(name, gradient)                                                              \
    BODY void name##_body(args a, long lo, long hi, int thread, int bf) {                    \
        (void)thread;                                                                       \
        if (a->n[11] == 6)                                                                  \
            spread_tiles(a, lo, hi, bf, 6, gradient ? 6 : 8, gradient);                     \
        else if (a->n[11] == 4)                                                             \
            spread_tiles(a, lo, hi, bf, 4, gradient ? 4 : 6, gradient);                     \
        else                                                                                \
            spread_tiles(a, lo, hi, bf, 2, gradient ? 2 : 4, gradient);                     \
    }                                                                                       \
    TYPED(name)
SPREAD(source_tiles, 0)
SPREAD(gradient_tiles, 1)

BODY void join_tiles(args a, long lo, long hi, int bf, int m) {
    long chunk = a->n[1], end = a->n[2], p = a->n[3], q = a->n[4], o = a->n[5], ld = a->n[6], dilation = a->n[7];
    const grid g = grid_of(p, q, dilation, m);
    const int all = m + 2;
    long plane = chunk * o;
    const float *from = a->p[0], *bias = a->p[1];
    for (long i = lo; i < MIN(hi, end - a->n[0]); i++) {
        long picture, top, left;
        locate(&g, a->n[0] + i, dilation, m, &picture, &top, &left);
        long rows = MIN(m, (p - top + dilation - 1) / dilation), columns = MIN(m, (q - left + dilation - 1) / dilation);
        for (long k = 0; k < o; k += WIDE) {
            wide x[MOST], t[6 * MOST], y[6 * 6], b = {0};
            const float *v = from + i * o + k;
            for (int s = 0; s < all; s++) {
                for (int r = 0; r < all; r++) memcpy(&x[r], v + (r * all + s) * plane, sizeof x[r]);
                transform_target(m, x, t + s, all);
            }
            for (int r = 0; r < m; r++) transform_target(m, t + r * all, y + r * m, 1);
            if (bias) memcpy(&b, bias + k, sizeof b);
            for (long r = 0; r < rows; r++)
                for (long s = 0; s < columns; s++) {
                    long at = ((picture * p + top + r * dilation) * q + left + s * dilation) * ld + k;
                    wide v = y[r * m + s] + b;
                    if (a->n[9]) {
                        wide before;
                        get(&before, a->p[2], at, bf);
                        v += before;
                    }
                    if (a->relu) v = (wide)((wide_int)v & ~(v < 0)); // a NaN stays one
                    put(a->p[2], at, &v, bf);
                }
        }
    }
}

BODY void target_tiles_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    if (a->n[8] == 6)
        join_tiles(a, lo, hi, bf, 6);
    else if (a->n[8] == 4)
        join_tiles(a, lo, hi, bf, 4);
    else
        join_tiles(a, lo, hi, bf, 2);
}
TYPED(target_tiles)

// Weights O×I×3×3 to matrices of inputs × outputs, and back. Where they are turned, as for
// the gradient of a source, outputs are the inputs and taps lie the other way round.

// SIDED defines NAME(a, lo, hi, thread) from NAME_body(a, lo, hi, m), m standing in a->n.
#define SIDED(name, at)                                                     \
    VARIANTS static void name(args a, long lo, long hi, int thread) {        \
        (void)thread;                                                       \
        if (a->n[at] == 6)                                                  \
            name##_body(a, lo, hi, 6);                                      \
        else if (a->n[at] == 4)                                             \
            name##_body(a, lo, hi, 4);                                      \
        else                                                                \
            name##_body(a, lo, hi, 2);                                      \
    }

enum { ROW = 256, GROUP = 16 }; // outputs and inputs at a time

BODY void filter_tiles_body(args a, long lo, long hi, int m) {
    long o = a->n[0], c = a->n[1], turned = a->n[2];
    const int all = m + 2;
    const float(*f)[3] = filters[m / 2 - 1];
    long inputs = turned ? o : c, outputs = turned ? c : o;
    float rows[MOST * MOST][ROW]; // so that places far apart are not written in turn
    for (long in = lo; in < hi; in++)
        for (long begin = 0; begin < outputs; begin += ROW) {
            long count = MIN(ROW, outputs - begin);
            for (long at = 0; at < count; at += WIDE) {
                float g[3][3][WIDE], t[MOST][3][WIDE];
                for (int l = 0; l < WIDE; l++) {
                    long out = begin + at + l;
                    const float *w = (const float *)a->p[0] + (turned ? in * c + out : out * c + in) * 9;
                    for (int k = 0; k < 9; k++) g[k / 3][k % 3][l] = w[turned ? 8 - k : k];
                }
                for (int r = 0; r < all; r++)
                    for (int s = 0; s < 3; s++)
                        for (int l = 0; l < WIDE; l++) t[r][s][l] = f[r][0] * g[0][s][l] + f[r][1] * g[1][s][l] + f[r][2] * g[2][s][l];
                for (int r = 0; r < all; r++)
                    for (int s = 0; s < all; s++)
                        for (int l = 0; l < WIDE; l++)
                            rows[r * all + s][at + l] = f[s][0] * t[r][0][l] + f[s][1] * t[r][1][l] + f[s][2] * t[r][2][l];
            }
            for (int k = 0; k < all * all; k++) memcpy((float *)a->p[1] + (k * inputs + in) * outputs + begin, rows[k], count * sizeof(float));
        }
}

SIDED(filter_tiles, 3)

BODY void filter_gradient_body(args a, long lo, long hi, int m) {
    long o = a->n[0], c = a->n[1];
    const int all = m + 2;
    const float(*f)[3] = filters[m / 2 - 1];
    float w[WIDE][GROUP * 9];
    for (long group = lo; group < hi; group++)
        for (long first = 0; first < o; first += WIDE) {
            for (long i = 0; i < GROUP; i++) {
                float t[3][MOST][WIDE] = {0}, g[3][3][WIDE] = {0};
                for (int r = 0; r < all; r++)
                    for (int s = 0; s < all; s++) {
                        const float *u = (const float *)a->p[0] + ((r * all + s) * c + group * GROUP + i) * o + first;
                        for (int k = 0; k < 3; k++)
                            for (int l = 0; l < WIDE; l++) t[k][s][l] += f[r][k] * u[l];
                    }
                for (int k = 0; k < 3; k++)
                    for (int s = 0; s < all; s++)
                        for (int j = 0; j < 3; j++)
                            for (int l = 0; l < WIDE; l++) g[k][j][l] += f[s][j] * t[k][s][l];
                for (int k = 0; k < 9; k++)
                    for (int l = 0; l < WIDE; l++) w[l][i * 9 + k] = g[k / 3][k % 3][l];
            }
            for (int l = 0; l < WIDE; l++) memcpy((float *)a->p[1] + ((first + l) * c + group * GROUP) * 9, w[l], sizeof w[l]);
        }
}

SIDED(filter_gradient, 2)

void ds_source_tiles(args a) { ds_parallel(a, a->n[1], source_tiles); }

void ds_gradient_tiles(args a) { ds_parallel(a, a->n[1], gradient_tiles); }

void ds_target_tiles(args a) { ds_parallel(a, a->n[1], target_tiles); }

void ds_filter_tiles(args a) { ds_parallel(a, a->n[2] ? a->n[0] : a->n[1], filter_tiles); }

void ds_filter_gradient(args a) { ds_parallel(a, a->n[1] / GROUP, filter_gradient); }
