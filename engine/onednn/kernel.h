// What the kernels share.
#ifndef DESTSEG_KERNEL_H
#define DESTSEG_KERNEL_H

#include "kernels.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

// Bodies are written once, inlined into a function for each element type, and
// compiled by VARIANTS for several instruction sets, of which the loader picks
// the best that the processor has.
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && __GNUC__ >= 12
#define VARIANTS __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"), noinline))
#elif defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && defined(__GNUC__) // knows no levels
#define VARIANTS __attribute__((target_clones("avx512f", "avx2", "default"), noinline))
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

// Rounds to the nearest bf16, ties to even; a NaN stays one.
BODY void store(void *p, long i, float x, int bf) {
    if (!bf) {
        ((float *)p)[i] = x;
        return;
    }
    union { float f; uint32_t u; } v = {.f = x};
    uint32_t rounded = v.u + 0x7fff + ((v.u >> 16) & 1);
    ((uint16_t *)p)[i] = (uint16_t)((x == x ? rounded : v.u | 0x400000) >> 16);
}

// TYPED defines NAME(a, lo, hi, thread) from NAME_body(a, lo, hi, thread, bf).
#define TYPED(name)                                                                                           \
    VARIANTS static void name##_f32(args a, long lo, long hi, int thread) { name##_body(a, lo, hi, thread, 0); }  \
    VARIANTS static void name##_bf16(args a, long lo, long hi, int thread) { name##_body(a, lo, hi, thread, 1); } \
    static void name(args a, long lo, long hi, int thread) {                                                  \
        (a->bf ? name##_bf16 : name##_f32)(a, lo, hi, thread);                                                \
    }

// Runs fn over [0, count) in one contiguous range a thread.
void ds_parallel(args a, long count, range_fn *fn);

// Most channels of an activation; Go has the same constant.
enum { MAX_CHANNELS = 2048 };

// Sums are collected in float over BLOCK pixels and in double beyond, which
// keeps them exact to float's last digits at the speed of float.
enum { BLOCK = 32 };

// Partial sums of a thread, two values for each of a->n[1] channels; ds_gather
// adds those of all threads that share count items into a->work.
double *ds_partial(args a, int thread);
void ds_gather(args a, long count);

// Sums over channels keep 16 lanes, so that they vectorise and their order
// does not depend on the instruction set.
enum { LANES = 16 };

BODY float lanes_sum(const float *s) {
    float t = 0;
    for (int k = 0; k < LANES; k++) t += s[k];
    return t;
}

// Entry points, one for each of enum ds_kernel.
void ds_to_pixels(args a);
void ds_from_pixels(args a);
void ds_to_blocks(args a);
void ds_from_blocks(args a);
void ds_stats(args a);
void ds_norm(args a);
void ds_norm_backward(args a);
void ds_relu(args a);
void ds_relu_backward(args a);
void ds_add(args a);
void ds_mul(args a);
void ds_mix(args a);
void ds_affine(args a);
void ds_sigmoid(args a);
void ds_sigmoid_backward(args a);
void ds_step(args a);
void ds_copy(args a);
void ds_convert(args a);
void ds_zero(args a);
void ds_maxpool(args a);
void ds_maxpool_backward(args a);
void ds_resize(args a);
void ds_resize_backward(args a);
void ds_meanpool(args a);
void ds_meanpool_backward(args a);
void ds_cosine(args a);
void ds_cosine_backward(args a);
void ds_sum(args a);
void ds_broadcast(args a);
void ds_focal(args a);
void ds_focal_backward(args a);
void ds_l1(args a);
void ds_l1_backward(args a);
void ds_cross_entropy(args a);
void ds_cross_entropy_backward(args a);
void ds_channel_sum(args a);
void ds_dot(args a);
void ds_dot_backward_data(args a);
void ds_dot_backward_weights(args a);
void ds_spread(args a);
void ds_tap_sums(args a);
void ds_spread_data(args a);
void ds_spread_weights(args a);
void ds_pack(args a);
void ds_unpack(args a);
void ds_source_tiles(args a);
void ds_gradient_tiles(args a);
void ds_target_tiles(args a);
void ds_filter_tiles(args a);
void ds_filter_gradient(args a);
void ds_sgd(args a);
void ds_fold(args a);
void ds_quantize(args a);
void ds_dequantize(args a);
void ds_copy_levels(args a);
void ds_meanpool_levels(args a);
void ds_weight_sizes(args a);
void ds_round_weights(args a);
void ds_pack_levels(args a);
void ds_factors(args a);

#endif
