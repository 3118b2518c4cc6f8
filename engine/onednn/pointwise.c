// Element by element.
#include "kernel.h"

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

// A NaN stays one, so that a loss shows it.
ELEMENTWISE(relu, 1, u < 0 ? 0 : u)
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

void ds_relu(args a) { ds_parallel(a, a->n[0], relu); }

void ds_relu_backward(args a) { ds_parallel(a, a->n[0], relu_backward); }

void ds_add(args a) { ds_parallel(a, a->n[0], add); }

void ds_mul(args a) { ds_parallel(a, a->n[0], mul); }

void ds_mix(args a) { ds_parallel(a, a->n[0], mix); }

void ds_affine(args a) { ds_parallel(a, a->n[0], affine); }

void ds_sigmoid(args a) { ds_parallel(a, a->n[0], sigmoid); }

void ds_sigmoid_backward(args a) { ds_parallel(a, a->n[0], sigmoid_backward); }

void ds_step(args a) { ds_parallel(a, a->n[0], step); }

void ds_copy(args a) { ds_parallel(a, a->n[0], copy); }

void ds_convert(args a) { ds_parallel(a, a->n[0], convert); }

void ds_zero(args a) { ds_parallel(a, a->n[0], zero); }

void ds_broadcast(args a) { ds_parallel(a, a->n[0], broadcast); }
