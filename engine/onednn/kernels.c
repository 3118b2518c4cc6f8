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

static void (*const kernels[DS_KERNELS])(args) = {
    [DS_TO_PIXELS] = ds_to_pixels,
    [DS_FROM_PIXELS] = ds_from_pixels,
    [DS_STATS] = ds_stats,
    [DS_NORM] = ds_norm,
    [DS_NORM_BACKWARD] = ds_norm_backward,
    [DS_RELU] = ds_relu,
    [DS_RELU_BACKWARD] = ds_relu_backward,
    [DS_ADD] = ds_add,
    [DS_MUL] = ds_mul,
    [DS_MIX] = ds_mix,
    [DS_AFFINE] = ds_affine,
    [DS_SIGMOID] = ds_sigmoid,
    [DS_SIGMOID_BACKWARD] = ds_sigmoid_backward,
    [DS_STEP] = ds_step,
    [DS_COPY] = ds_copy,
    [DS_CONVERT] = ds_convert,
    [DS_ZERO] = ds_zero,
    [DS_MAXPOOL] = ds_maxpool,
    [DS_MAXPOOL_BACKWARD] = ds_maxpool_backward,
    [DS_RESIZE] = ds_resize,
    [DS_RESIZE_BACKWARD] = ds_resize_backward,
    [DS_MEANPOOL] = ds_meanpool,
    [DS_MEANPOOL_BACKWARD] = ds_meanpool_backward,
    [DS_COSINE] = ds_cosine,
    [DS_COSINE_BACKWARD] = ds_cosine_backward,
    [DS_SUM] = ds_sum,
    [DS_BROADCAST] = ds_broadcast,
    [DS_FOCAL] = ds_focal,
    [DS_FOCAL_BACKWARD] = ds_focal_backward,
    [DS_L1] = ds_l1,
    [DS_L1_BACKWARD] = ds_l1_backward,
    [DS_CHANNEL_SUM] = ds_channel_sum,
    [DS_DOT] = ds_dot,
    [DS_DOT_BACKWARD_DATA] = ds_dot_backward_data,
    [DS_DOT_BACKWARD_WEIGHTS] = ds_dot_backward_weights,
    [DS_SPREAD] = ds_spread,
    [DS_TAP_SUMS] = ds_tap_sums,
    [DS_SPREAD_DATA] = ds_spread_data,
    [DS_SPREAD_WEIGHTS] = ds_spread_weights,
    [DS_SGD] = ds_sgd,
    [DS_FOLD] = ds_fold,
};

void ds_kernel_run(int kernel, const ds_args *a) { kernels[kernel](a); }
