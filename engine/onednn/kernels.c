#include "kernel.h"

#include <omp.h>

void ds_parallel(args a, long count, range_fn *fn) {
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

long ds_work_size(int threads, long channels) { return 2L * channels * (threads + 1); }

double *ds_partial(args a, int thread) { return a->work + 2 * a->n[1] * (thread + 1); }

void ds_gather(args a, long count) {
    long values = 2 * a->n[1];
    int threads = (int)MIN((long)a->threads, count);
    memset(a->work, 0, values * sizeof(double));
    for (int t = 0; t < threads; t++)
        for (long k = 0; k < values; k++) a->work[k] += ds_partial(a, t)[k];
}

#define KERNEL(name) {ds_##name, #name}

static const struct {
    void (*run)(args);
    const char *name;
} kernels[DS_KERNELS] = {
    [DS_TO_PIXELS] = KERNEL(to_pixels),
    [DS_FROM_PIXELS] = KERNEL(from_pixels),
    [DS_TO_BLOCKS] = KERNEL(to_blocks),
    [DS_FROM_BLOCKS] = KERNEL(from_blocks),
    [DS_STATS] = KERNEL(stats),
    [DS_NORM] = KERNEL(norm),
    [DS_NORM_BACKWARD] = KERNEL(norm_backward),
    [DS_RELU] = KERNEL(relu),
    [DS_RELU_BACKWARD] = KERNEL(relu_backward),
    [DS_ADD] = KERNEL(add),
    [DS_MUL] = KERNEL(mul),
    [DS_MIX] = KERNEL(mix),
    [DS_AFFINE] = KERNEL(affine),
    [DS_SIGMOID] = KERNEL(sigmoid),
    [DS_SIGMOID_BACKWARD] = KERNEL(sigmoid_backward),
    [DS_STEP] = KERNEL(step),
    [DS_COPY] = KERNEL(copy),
    [DS_CONVERT] = KERNEL(convert),
    [DS_ZERO] = KERNEL(zero),
    [DS_MAXPOOL] = KERNEL(maxpool),
    [DS_MAXPOOL_BACKWARD] = KERNEL(maxpool_backward),
    [DS_RESIZE] = KERNEL(resize),
    [DS_RESIZE_BACKWARD] = KERNEL(resize_backward),
    [DS_MEANPOOL] = KERNEL(meanpool),
    [DS_MEANPOOL_BACKWARD] = KERNEL(meanpool_backward),
    [DS_COSINE] = KERNEL(cosine),
    [DS_COSINE_BACKWARD] = KERNEL(cosine_backward),
    [DS_SUM] = KERNEL(sum),
    [DS_BROADCAST] = KERNEL(broadcast),
    [DS_FOCAL] = KERNEL(focal),
    [DS_FOCAL_BACKWARD] = KERNEL(focal_backward),
    [DS_L1] = KERNEL(l1),
    [DS_L1_BACKWARD] = KERNEL(l1_backward),
    [DS_CROSS_ENTROPY] = KERNEL(cross_entropy),
    [DS_CROSS_ENTROPY_BACKWARD] = KERNEL(cross_entropy_backward),
    [DS_CHANNEL_SUM] = KERNEL(channel_sum),
    [DS_DOT] = KERNEL(dot),
    [DS_DOT_BACKWARD_DATA] = KERNEL(dot_backward_data),
    [DS_DOT_BACKWARD_WEIGHTS] = KERNEL(dot_backward_weights),
    [DS_SPREAD] = KERNEL(spread),
    [DS_TAP_SUMS] = KERNEL(tap_sums),
    [DS_SPREAD_DATA] = KERNEL(spread_data),
    [DS_SPREAD_WEIGHTS] = KERNEL(spread_weights),
    [DS_PACK] = KERNEL(pack),
    [DS_UNPACK] = KERNEL(unpack),
    [DS_SOURCE_TILES] = KERNEL(source_tiles),
    [DS_GRADIENT_TILES] = KERNEL(gradient_tiles),
    [DS_TARGET_TILES] = KERNEL(target_tiles),
    [DS_FILTER_TILES] = KERNEL(filter_tiles),
    [DS_FILTER_GRADIENT] = KERNEL(filter_gradient),
    [DS_SGD] = KERNEL(sgd),
    [DS_FOLD] = KERNEL(fold),
    [DS_QUANTIZE] = KERNEL(quantize),
    [DS_DEQUANTIZE] = KERNEL(dequantize),
    [DS_COPY_LEVELS] = KERNEL(copy_levels),
    [DS_MEANPOOL_LEVELS] = KERNEL(meanpool_levels),
    [DS_WEIGHT_SIZES] = KERNEL(weight_sizes),
    [DS_ROUND_WEIGHTS] = KERNEL(round_weights),
    [DS_PACK_LEVELS] = KERNEL(pack_levels),
    [DS_FACTORS] = KERNEL(factors),
};

void ds_kernel_run(int kernel, const ds_args *a) { kernels[kernel].run(a); }

const char *ds_kernel_name(int kernel) { return kernels[kernel].name; }
