#include "kernels.h"

#include <math.h>
#include <omp.h>
#include <stdint.h>
#include <string.h>

// Bodies are written once, inlined into a function for each element type, and
// compiled by VARIANTS for several instruction sets, of which the loader picks
// the best that the processor has.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define VARIANTS __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"), noinline))
#else
#define VARIANTS __attribute__((noinline))
#endif
#define BODY static inline __attribute__((always_inline))

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

typedef const ds_args *args;
typedef void range_fn(args a, long lo, long hi, int thread);

BODY float load(const void *p, long i, int bf) {
    if (!bf) return ((const float *)p)[i];
    union { uint32_t u; float f; } v = {.u = (uint32_t)((const uint16_t *)p)[i] << 16};
    return v.f;
}

// Rounds to the nearest bf16, ties to even.
BODY void store(void *p, long i, float x, int bf) {
    if (!bf) {
        ((float *)p)[i] = x;
        return;
    }
    union { float f; uint32_t u; } v = {.f = x};
    ((uint16_t *)p)[i] = (uint16_t)((v.u + 0x7fff + ((v.u >> 16) & 1)) >> 16);
}

// Runs fn over [0, count) in one contiguous range a thread.
static void parallel(args a, long count, range_fn *fn) {
    int threads = (int)MIN((long)a->threads, count);
    if (threads <= 1) {
        fn(a, 0, count, 0);
        return;
    }
#pragma omp parallel num_threads(threads)
    {
        int t = omp_get_thread_num(), n = omp_get_num_threads();
        fn(a, count * t / n, count * (t + 1) / n, t);
    }
}

// TYPED defines NAME(a, lo, hi, thread) from NAME_body(a, lo, hi, thread, bf).
#define TYPED(name)                                                                                           \
    VARIANTS static void name##_f32(args a, long lo, long hi, int thread) { name##_body(a, lo, hi, thread, 0); }  \
    VARIANTS static void name##_bf16(args a, long lo, long hi, int thread) { name##_body(a, lo, hi, thread, 1); } \
    static void name(args a, long lo, long hi, int thread) {                                                  \
        (a->bf ? name##_bf16 : name##_f32)(a, lo, hi, thread);                                                \
    }

// ---- layout ----

BODY void to_pixels_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    const float *restrict x = a->p[0];
    void *restrict y = a->p[1];
    long c = a->n[1], hw = a->n[2];
    for (long i = lo; i < hi; i++) {
        long n = i / hw, px = i % hw;
        const float *from = x + n * c * hw + px;
        for (long k = 0; k < c; k++) store(y, i * c + k, from[k * hw], bf);
    }
}
TYPED(to_pixels)

BODY void from_pixels_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    float *restrict planes = a->p[1];
    long c = a->n[1], hw = a->n[2], ld = a->n[3];
    for (long plane = lo; plane < hi; plane++)
        for (long i = 0; i < hw; i++) planes[plane * hw + i] = load(a->p[0], (plane / c * hw + i) * ld + plane % c, bf);
}
TYPED(from_pixels)

// ---- element by element ----

// ELEMENTWISE defines a kernel over P pixels of C channels: up to two operands
// u and v, result y, strides n[2..]; K operands are read.
#define ELEMENTWISE(name, K, expression)                                                              \
    BODY void name##_body(args a, long lo, long hi, int thread, int bf) {                              \
        (void)thread;                                                                                 \
        const void *pu = a->p[0], *pv = a->p[K - 1];                                                  \
        void *py = a->p[K]; /* may be an operand's own memory */                                      \
        long c = a->n[1], ldu = a->n[2], ldv = a->n[1 + K], ldy = a->n[2 + K];                         \
        const float f0 = a->f[0], f1 = a->f[1];                                                       \
        (void)f0, (void)f1;                                                                           \
        for (long i = lo; i < hi; i++) {                                                              \
            _Pragma("GCC ivdep") for (long k = 0; k < c; k++) {                                       \
                float u = load(pu, i * ldu + k, bf), v = load(pv, i * ldv + k, bf);                   \
                (void)u, (void)v;                                                                     \
                store(py, i * ldy + k, expression, bf);                                               \
            }                                                                                         \
        }                                                                                             \
    }                                                                                                 \
    TYPED(name)

ELEMENTWISE(relu, 1, u > 0 ? u : 0)
ELEMENTWISE(relu_backward, 2, u > 0 ? v : 0)
ELEMENTWISE(add, 2, u + v)
ELEMENTWISE(mul, 2, u *v)
ELEMENTWISE(mix, 2, f0 *u + f1 * v)
ELEMENTWISE(affine, 1, f0 *u + f1)
ELEMENTWISE(sigmoid, 1, 1 / (1 + expf(-u)))
ELEMENTWISE(sigmoid_backward, 2, v *u *(1 - u))
ELEMENTWISE(step, 1, u >= f0 ? 1.f : 0.f)
ELEMENTWISE(copy, 1, u)

BODY void convert_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    const void *restrict x = a->p[0];
    void *restrict y = a->p[1];
    long c = a->n[1], ldx = a->n[2], ldy = a->n[3];
    for (long i = lo; i < hi; i++)
        for (long k = 0; k < c; k++) store(y, i * ldy + k, load(x, i * ldx + k, !bf), bf);
}
TYPED(convert)

BODY void zero_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    long c = a->n[1], ld = a->n[2], width = bf ? 2 : 4;
    for (long i = lo; i < hi; i++) memset((char *)a->p[0] + i * ld * width, 0, c * width);
}
TYPED(zero)

BODY void broadcast_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    long c = a->n[1], ld = a->n[2];
    float v = a->p[0] ? *(const float *)a->p[0] : a->f[0];
    for (long i = lo; i < hi; i++)
        for (long k = 0; k < c; k++) store(a->p[1], i * ld + k, v, bf);
}
TYPED(broadcast)

// ---- sums over pixels ----

// Sums are collected in float over BLOCK pixels and in double beyond, which
// keeps them exact to float's last digits at the speed of float.
enum { BLOCK = 32, MAX_CHANNELS = 2048 };

long ds_work_size(int threads, long channels) { return 2L * channels * (threads + 1); }

static double *partial(args a, int thread) { return a->work + 2 * a->n[1] * (thread + 1); }

// Adds the threads' partial sums into a->work.
static void gather(args a, long count) {
    long values = 2 * a->n[1];
    int threads = (int)MIN((long)a->threads, count);
    memset(a->work, 0, values * sizeof(double));
    for (int t = 0; t < threads; t++)
        for (long k = 0; k < values; k++) a->work[k] += partial(a, t)[k];
}

// First and second moment about the first pixel, which stands near the mean.
BODY void moments_body(args a, long lo, long hi, int thread, int bf) {
    const void *restrict x = a->p[0];
    long c = a->n[1], ld = a->n[2];
    double *restrict total = partial(a, thread);
    memset(total, 0, 2 * c * sizeof(double));
    for (long c0 = 0; c0 < c; c0 += 64) {
        long m = MIN(64, c - c0);
        float origin[64];
        for (long k = 0; k < m; k++) origin[k] = load(x, c0 + k, bf);
        for (long i = lo; i < hi; i += BLOCK) {
            float s[64] = {0}, q[64] = {0};
            for (long j = i; j < MIN(i + BLOCK, hi); j++)
                for (long k = 0; k < m; k++) {
                    float d = load(x, j * ld + c0 + k, bf) - origin[k];
                    s[k] += d, q[k] += d * d;
                }
            for (long k = 0; k < m; k++) total[c0 + k] += s[k], total[c + c0 + k] += q[k];
        }
    }
}
TYPED(moments)

static void stats(args a) {
    long p = a->n[0], c = a->n[1];
    float *mean = a->p[1], *var = a->p[2];
    parallel(a, p, moments);
    gather(a, p);
    for (long k = 0; k < c; k++) {
        double d = a->work[k] / p, v = a->work[c + k] / p - d * d;
        mean[k] = (float)(load(a->p[0], k, a->bf) + d);
        var[k] = (float)MAX(v, 0);
    }
}

BODY void channel_sums_body(args a, long lo, long hi, int thread, int bf) {
    const void *restrict x = a->p[0];
    long c = a->n[1], ld = a->n[2];
    double *restrict total = partial(a, thread);
    memset(total, 0, 2 * c * sizeof(double));
    for (long i = lo; i < hi; i++)
        for (long k = 0; k < c; k++) total[k] += load(x, i * ld + k, bf);
}
TYPED(channel_sums)

static void channel_sum(args a) {
    float *y = a->p[1];
    parallel(a, a->n[0], channel_sums);
    gather(a, a->n[0]);
    for (long k = 0; k < a->n[1]; k++) y[k] = (float)a->work[k];
}

static void sum(args a) {
    double s = 0;
    parallel(a, a->n[0], channel_sums);
    gather(a, a->n[0]);
    for (long k = 0; k < a->n[1]; k++) s += a->work[k];
    *(float *)a->p[1] = (float)s;
}

// ---- batch norm ----

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
            if (relu) v = v > 0 ? v : 0;
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
    double *restrict total = partial(a, thread);
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
    const void *restrict dy = a->p[1];
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

static void norm_backward(args a) {
    long p = a->n[0], c = a->n[1];
    const float *var = a->p[5];
    float *params = a->p[7];
    parallel(a, p, norm_sums);
    gather(a, p);
    for (long k = 0; k < c; k++) {
        params[k] = (float)(a->work[c + k] / sqrt((double)var[k] + a->f[0]));
        params[c + k] = (float)a->work[k];
    }
    if (a->p[6]) parallel(a, p, norm_dx);
}

// ---- pooling and resizing ----

BODY void maxpool_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    const void *restrict x = a->p[0];
    void *restrict y = a->p[1];
    uint8_t *restrict place = a->p[2];
    long h = a->n[1], w = a->n[2], c = a->n[3], p = a->n[4], q = a->n[5], kernel = a->n[6], stride = a->n[7], pad = a->n[8], dilation = a->n[9];
    float best[MAX_CHANNELS];
    uint8_t where[MAX_CHANNELS];
    for (long i = lo; i < hi; i++) {
        long n = i / (p * q), oy = i / q % p, ox = i % q;
        for (long k = 0; k < c; k++) best[k] = -INFINITY, where[k] = 0;
        for (long ky = 0; ky < kernel; ky++)
            for (long kx = 0; kx < kernel; kx++) {
                long sy = oy * stride - pad + ky * dilation, sx = ox * stride - pad + kx * dilation;
                if (sy < 0 || sy >= h || sx < 0 || sx >= w) continue;
                long from = ((n * h + sy) * w + sx) * c;
                uint8_t tap = (uint8_t)(ky * kernel + kx);
                for (long k = 0; k < c; k++) {
                    float v = load(x, from + k, bf);
                    where[k] = v > best[k] ? tap : where[k];
                    best[k] = v > best[k] ? v : best[k];
                }
            }
        for (long k = 0; k < c; k++) store(y, i * c + k, best[k], bf);
        if (place)
            for (long k = 0; k < c; k++) place[i * c + k] = where[k];
    }
}
TYPED(maxpool)

BODY void maxpool_backward_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    const uint8_t *restrict place = a->p[0];
    const void *restrict dy = a->p[1];
    void *restrict dx = a->p[2];
    long h = a->n[1], w = a->n[2], c = a->n[3], p = a->n[4], q = a->n[5], kernel = a->n[6], stride = a->n[7], pad = a->n[8], dilation = a->n[9];
    float total[MAX_CHANNELS];
    for (long i = lo; i < hi; i++) {
        long n = i / (h * w), sy = i / w % h, sx = i % w;
        for (long k = 0; k < c; k++) total[k] = 0;
        for (long ky = 0; ky < kernel; ky++)
            for (long kx = 0; kx < kernel; kx++) {
                long oy = sy + pad - ky * dilation, ox = sx + pad - kx * dilation;
                if (oy < 0 || ox < 0 || oy % stride || ox % stride || oy / stride >= p || ox / stride >= q) continue;
                long from = ((n * p + oy / stride) * q + ox / stride) * c;
                uint8_t tap = (uint8_t)(ky * kernel + kx);
                for (long k = 0; k < c; k++) total[k] += place[from + k] == tap ? load(dy, from + k, bf) : 0;
            }
        for (long k = 0; k < c; k++) store(dx, i * c + k, total[k], bf);
    }
}
TYPED(maxpool_backward)

// Where output index o of a resize from n to m samples: first neighbour,
// second neighbour and the second's weight.
BODY void sample(long o, long n, long m, long *i0, long *i1, float *weight) {
    double at = (o + 0.5) * n / m - 0.5;
    if (at < 0) at = 0;
    *i0 = (long)at;
    *i1 = MIN(*i0 + 1, n - 1);
    *weight = (float)(at - *i0);
}

BODY void resize_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    const void *restrict x = a->p[0];
    void *restrict y = a->p[1];
    long h = a->n[1], w = a->n[2], p = a->n[3], q = a->n[4], c = a->n[5], ldx = a->n[6], ldy = a->n[7];
    for (long row = lo; row < hi; row++) {
        long n = row / p, y0, y1;
        float fy;
        sample(row % p, h, p, &y0, &y1, &fy);
        for (long o = 0; o < q; o++) {
            long x0, x1, to = (row * q + o) * ldy;
            float fx;
            sample(o, w, q, &x0, &x1, &fx);
            long i00 = ((n * h + y0) * w + x0) * ldx, i01 = ((n * h + y0) * w + x1) * ldx;
            long i10 = ((n * h + y1) * w + x0) * ldx, i11 = ((n * h + y1) * w + x1) * ldx;
            float w00 = (1 - fy) * (1 - fx), w01 = (1 - fy) * fx, w10 = fy * (1 - fx), w11 = fy * fx;
            for (long k = 0; k < c; k++)
                store(y, to + k, w00 * load(x, i00 + k, bf) + w01 * load(x, i01 + k, bf) + w10 * load(x, i10 + k, bf) + w11 * load(x, i11 + k, bf), bf);
        }
    }
}
TYPED(resize)

// The range of outputs of a resize from n to m that may sample input s.
BODY void reach(long s, long n, long m, long *lo, long *hi) {
    *lo = s == 0 ? 0 : MAX((long)floor((s - 0.5) * m / n - 0.5), 0);
    *hi = s == n - 1 ? m - 1 : MIN((long)ceil((s + 1.5) * m / n - 0.5), m - 1);
}

// Weight with which output o samples input s.
BODY float share(long o, long s, long n, long m) {
    long i0, i1;
    float weight;
    sample(o, n, m, &i0, &i1, &weight);
    return (i0 == s ? 1 - weight : 0) + (i1 == s ? weight : 0);
}

BODY void resize_backward_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    const void *restrict dy = a->p[0];
    void *restrict dx = a->p[1];
    long h = a->n[1], w = a->n[2], p = a->n[3], q = a->n[4], c = a->n[5], ldd = a->n[6], ldx = a->n[7];
    float total[MAX_CHANNELS];
    for (long i = lo; i < hi; i++) {
        long n = i / (h * w), sy = i / w % h, sx = i % w, top, bottom, left, right;
        reach(sy, h, p, &top, &bottom);
        reach(sx, w, q, &left, &right);
        for (long k = 0; k < c; k++) total[k] = 0;
        for (long oy = top; oy <= bottom; oy++) {
            float fy = share(oy, sy, h, p);
            if (fy == 0) continue;
            for (long ox = left; ox <= right; ox++) {
                float f = fy * share(ox, sx, w, q);
                if (f == 0) continue;
                long from = ((n * p + oy) * q + ox) * ldd;
                for (long k = 0; k < c; k++) total[k] += f * load(dy, from + k, bf);
            }
        }
        for (long k = 0; k < c; k++) store(dx, i * ldx + k, total[k], bf);
    }
}
TYPED(resize_backward)

BODY void meanpool_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    const void *restrict x = a->p[0];
    long hw = a->n[1], c = a->n[2], ld = a->n[3];
    double total[MAX_CHANNELS];
    for (long n = lo; n < hi; n++) {
        for (long k = 0; k < c; k++) total[k] = 0;
        for (long i = 0; i < hw; i++)
            for (long k = 0; k < c; k++) total[k] += load(x, (n * hw + i) * ld + k, bf);
        for (long k = 0; k < c; k++) store(a->p[1], n * c + k, (float)(total[k] / hw), bf);
    }
}
TYPED(meanpool)

BODY void meanpool_backward_body(args a, long lo, long hi, int thread, int bf) {
    (void)thread;
    const void *restrict dy = a->p[0];
    void *restrict dx = a->p[1];
    long hw = a->n[1], c = a->n[2];
    for (long i = lo; i < hi; i++)
        for (long k = 0; k < c; k++) store(dx, i * c + k, load(dy, i / hw * c + k, bf) / hw, bf);
}
TYPED(meanpool_backward)

// ---- cosine ----

// Sums over channels keep 16 lanes, so that they vectorise and their order
// does not depend on the instruction set.
enum { LANES = 16 };

BODY float lanes_sum(const float *s) {
    float t = 0;
    for (int k = 0; k < LANES; k++) t += s[k];
    return t;
}

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

// ---- losses ----

static void focal(args a) {
    double s = 0;
    for (long i = 0; i < a->n[0]; i++) {
        float p = load(a->p[0], i, a->bf), q = load(a->p[1], i, a->bf) > 0.5f ? p : 1 - p;
        s -= (double)MAX(logf(q), -100.f) * powf(1 - q, a->f[0]);
    }
    *(float *)a->p[2] = (float)(s / a->n[0]);
}

static void focal_backward(args a) {
    float gamma = a->f[0], scale = *(const float *)a->p[2] / a->n[0];
    for (long i = 0; i < a->n[0]; i++) {
        int positive = load(a->p[1], i, a->bf) > 0.5f;
        float p = load(a->p[0], i, a->bf), q = positive ? p : 1 - p, r = 1 - q;
        float d = gamma * powf(r, gamma - 1) * MAX(logf(q), -100.f) - powf(r, gamma) * r / MAX(q * r, 1e-12f);
        store(a->p[3], i, (positive ? d : -d) * scale, a->bf);
    }
}

static void l1(args a) {
    double s = 0;
    for (long i = 0; i < a->n[0]; i++) s += fabsf(load(a->p[0], i, a->bf) - load(a->p[1], i, a->bf));
    *(float *)a->p[2] = (float)(s / a->n[0]);
}

static void l1_backward(args a) {
    float scale = *(const float *)a->p[2] / a->n[0];
    for (long i = 0; i < a->n[0]; i++) {
        float d = load(a->p[0], i, a->bf) - load(a->p[1], i, a->bf);
        store(a->p[3], i, d > 0 ? scale : d < 0 ? -scale : 0, a->bf);
    }
}

// ---- convolution 1×1 to one channel ----

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
    double *restrict total = partial(a, thread);
    memset(total, 0, 2 * c * sizeof(double));
    for (long i = lo; i < hi; i++)
        for (long k = 0; k < c; k++) total[k] += dy[i] * load(x, i * ld + k, bf);
}
TYPED(dot_weights)

static void dot_backward_weights(args a) {
    float *dw = a->p[2];
    parallel(a, a->n[0], dot_weights);
    gather(a, a->n[0]);
    for (long k = 0; k < a->n[1]; k++) dw[k] = (float)a->work[k];
}

// ---- spread convolution ----

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

// ---- parameters ----

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

// ---- dispatch ----

void ds_kernel_run(int kernel, const ds_args *a) {
    long n = a->n[0];
    switch (kernel) {
    case DS_TO_PIXELS: parallel(a, n * a->n[2], to_pixels); break;
    case DS_FROM_PIXELS: parallel(a, n * a->n[1], from_pixels); break;
    case DS_STATS: stats(a); break;
    case DS_NORM: parallel(a, n, norm); break;
    case DS_NORM_BACKWARD: norm_backward(a); break;
    case DS_RELU: parallel(a, n, relu); break;
    case DS_RELU_BACKWARD: parallel(a, n, relu_backward); break;
    case DS_ADD: parallel(a, n, add); break;
    case DS_MUL: parallel(a, n, mul); break;
    case DS_MIX: parallel(a, n, mix); break;
    case DS_AFFINE: parallel(a, n, affine); break;
    case DS_SIGMOID: parallel(a, n, sigmoid); break;
    case DS_SIGMOID_BACKWARD: parallel(a, n, sigmoid_backward); break;
    case DS_STEP: parallel(a, n, step); break;
    case DS_COPY: parallel(a, n, copy); break;
    case DS_CONVERT: parallel(a, n, convert); break;
    case DS_ZERO: parallel(a, n, zero); break;
    case DS_MAXPOOL: parallel(a, n * a->n[4] * a->n[5], maxpool); break;
    case DS_MAXPOOL_BACKWARD: parallel(a, n * a->n[1] * a->n[2], maxpool_backward); break;
    case DS_RESIZE: parallel(a, n * a->n[3], resize); break;
    case DS_RESIZE_BACKWARD: parallel(a, n * a->n[1] * a->n[2], resize_backward); break;
    case DS_MEANPOOL: parallel(a, n, meanpool); break;
    case DS_MEANPOOL_BACKWARD: parallel(a, n * a->n[1], meanpool_backward); break;
    case DS_COSINE: parallel(a, n, cosine); break;
    case DS_COSINE_BACKWARD: parallel(a, n, cosine_backward); break;
    case DS_SUM: sum(a); break;
    case DS_BROADCAST: parallel(a, n, broadcast); break;
    case DS_FOCAL: focal(a); break;
    case DS_FOCAL_BACKWARD: focal_backward(a); break;
    case DS_L1: l1(a); break;
    case DS_L1_BACKWARD: l1_backward(a); break;
    case DS_CHANNEL_SUM: channel_sum(a); break;
    case DS_DOT: parallel(a, n, dot_forward); break;
    case DS_DOT_BACKWARD_DATA: parallel(a, n, dot_backward_data); break;
    case DS_DOT_BACKWARD_WEIGHTS: dot_backward_weights(a); break;
    case DS_SPREAD:
        parallel(a, n * a->n[4], spread_taps);
        parallel(a, n * a->n[2], spread_rows);
        break;
    case DS_TAP_SUMS: parallel(a, n, tap_sums); break;
    case DS_SPREAD_DATA: parallel(a, n, spread_data); break;
    case DS_SPREAD_WEIGHTS: parallel(a, a->n[2], spread_weights); break;
    case DS_SGD: parallel(a, n, sgd); break;
    case DS_FOLD: parallel(a, n, fold); break;
    }
}
