#include "shim.h"

#include <stdlib.h>
#include <string.h>

// A descriptor is a handle in version 3 and a struct in version 2.
#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t const_desc_ptr;
#else
typedef const dnnl_memory_desc_t *const_desc_ptr;
#endif

#define TRY(call)                                   \
    do {                                            \
        dnnl_status_t status_ = (call);             \
        if (status_ != dnnl_success) return status_; \
    } while (0)

#define TRY_OR(call, cleanup)                   \
    do {                                        \
        status = (call);                        \
        if (status != dnnl_success) goto cleanup; \
    } while (0)

static int describe(dnnl_memory_desc_t *d, int rank, const long *dims, dnnl_data_type_t type, dnnl_format_tag_t tag) {
    dnnl_dims_t v;
    for (int i = 0; i < rank; i++) v[i] = dims[i];
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_memory_desc_create_with_tag(d, rank, v, type, tag);
#else
    return dnnl_memory_desc_init_by_tag(d, rank, v, type, tag);
#endif
}

static void forget(dnnl_memory_desc_t d) {
#if DNNL_VERSION_MAJOR >= 3
    dnnl_memory_desc_destroy(d);
#else
    (void)d;
#endif
}

int dnn_version(void) {
    const dnnl_version_t *v = dnnl_version();
    return 10000 * v->major + 100 * v->minor + v->patch;
}

int dnn_native_bf16(void) {
    dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
    return (isa & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
}

int dnn_open(dnn_context **out) {
    dnn_context *c = calloc(1, sizeof *c);
    if (!c) return dnnl_out_of_memory;
    dnnl_status_t status = dnnl_engine_create(&c->engine, dnnl_cpu, 0);
    if (status == dnnl_success) status = dnnl_stream_create(&c->stream, c->engine, dnnl_stream_default_flags);
    if (status == dnnl_success)
        *out = c;
    else
        dnn_close(c);
    return status;
}

void dnn_close(dnn_context *c) {
    if (!c) return;
    if (c->stream) dnnl_stream_destroy(c->stream);
    if (c->engine) dnnl_engine_destroy(c->engine);
    free(c);
}

// Post-operations and a scratchpad that the caller provides.
static int attributes(const dnn_conv_spec *s, dnnl_primitive_attr_t *out) {
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;
    int status;
    TRY_OR(dnnl_primitive_attr_create(&attr), fail);
    TRY_OR(dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user), fail);
    if (s && (s->sum || s->relu)) {
        TRY_OR(dnnl_post_ops_create(&ops), fail);
#if DNNL_VERSION_MAJOR >= 3
        if (s->sum) TRY_OR(dnnl_post_ops_append_sum(ops, 1.f, 0, dnnl_data_type_undef), fail);
        if (s->relu) TRY_OR(dnnl_post_ops_append_eltwise(ops, dnnl_eltwise_relu, 0.f, 0.f), fail);
#else
        if (s->sum) TRY_OR(dnnl_post_ops_append_sum(ops, 1.f), fail);
        if (s->relu) TRY_OR(dnnl_post_ops_append_eltwise(ops, 1.f, dnnl_eltwise_relu, 0.f, 0.f), fail);
#endif
        TRY_OR(dnnl_primitive_attr_set_post_ops(attr, ops), fail);
        dnnl_post_ops_destroy(ops);
    }
    *out = attr;
    return dnnl_success;
fail:
    if (ops) dnnl_post_ops_destroy(ops);
    if (attr) dnnl_primitive_attr_destroy(attr);
    return status;
}

static int operand(dnn_context *c, dnn_primitive *p, dnnl_primitive_desc_t pd, int arg) {
    const_desc_ptr d = dnnl_primitive_desc_query_md(pd, dnnl_query_exec_arg_md, arg);
    int i = p->count++;
    p->args[i].arg = arg;
    TRY(dnnl_memory_create(&p->memory[i], d, c->engine, DNNL_MEMORY_NONE));
    p->args[i].memory = p->memory[i];
    return dnnl_success;
}

static size_t size_of(dnnl_primitive_desc_t pd, int arg) {
    return dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(pd, dnnl_query_exec_arg_md, arg));
}

static int finish(dnn_context *c, dnn_primitive *p, dnnl_primitive_desc_t pd) {
    const_desc_ptr d = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    p->scratch_size = dnnl_memory_desc_get_size(d);
    TRY(operand(c, p, pd, DNNL_ARG_SCRATCHPAD));
    const char *info = NULL;
    if (dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &info) == dnnl_success && info)
        strncpy(p->implementation, info, sizeof p->implementation - 1);
    return dnnl_primitive_create(&p->primitive, pd);
}

static int conv_desc(dnn_context *c, const dnn_conv_spec *s, dnnl_memory_desc_t x, dnnl_memory_desc_t w,
                     dnnl_memory_desc_t dw, dnnl_memory_desc_t b, dnnl_memory_desc_t y,
                     dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *out) {
    dnnl_dims_t stride = {s->stride, s->stride}, pad = {s->padding, s->padding};
    dnnl_dims_t dilate = {s->dilation - 1, s->dilation - 1};
    dnnl_primitive_desc_t hint = NULL;
    int status;
    dnnl_prop_kind_t prop = s->inference ? dnnl_forward_inference : dnnl_forward_training;
#if DNNL_VERSION_MAJOR >= 3
    dnnl_primitive_desc_t *forward = s->kind == DNN_FORWARD ? out : &hint;
    TRY_OR(dnnl_convolution_forward_primitive_desc_create(forward, c->engine, prop, dnnl_convolution_direct, x, w,
               s->bias ? b : NULL, y, stride, dilate, pad, pad, s->kind == DNN_FORWARD ? attr : NULL), done);
    if (s->kind == DNN_BACKWARD_DATA)
        status = dnnl_convolution_backward_data_primitive_desc_create(
            out, c->engine, dnnl_convolution_direct, x, w, y, stride, dilate, pad, pad, hint, attr);
    else if (s->kind == DNN_BACKWARD_WEIGHTS)
        status = dnnl_convolution_backward_weights_primitive_desc_create(
            out, c->engine, dnnl_convolution_direct, x, dw, NULL, y, stride, dilate, pad, pad, hint, attr);
#else
    dnnl_convolution_desc_t d;
    TRY_OR(dnnl_dilated_convolution_forward_desc_init(
               &d, prop, dnnl_convolution_direct, &x, &w, s->bias ? &b : NULL, &y, stride, dilate, pad, pad), done);
    if (s->kind == DNN_FORWARD) {
        status = dnnl_primitive_desc_create(out, &d, attr, c->engine, NULL);
        goto done;
    }
    TRY_OR(dnnl_primitive_desc_create(&hint, &d, NULL, c->engine, NULL), done);
    if (s->kind == DNN_BACKWARD_DATA)
        TRY_OR(dnnl_dilated_convolution_backward_data_desc_init(
                   &d, dnnl_convolution_direct, &x, &w, &y, stride, dilate, pad, pad), done);
    else
        TRY_OR(dnnl_dilated_convolution_backward_weights_desc_init(
                   &d, dnnl_convolution_direct, &x, &dw, NULL, &y, stride, dilate, pad, pad), done);
    status = dnnl_primitive_desc_create(out, &d, attr, c->engine, hint);
#endif
done:
    if (hint) dnnl_primitive_desc_destroy(hint);
    return status;
}

int dnn_conv_create(dnn_context *c, const dnn_conv_spec *s, dnn_primitive **out) {
    dnnl_data_type_t type = s->bf16 ? dnnl_bf16 : dnnl_f32;
    long xs[4] = {s->n, s->c, s->h, s->w}, ws[4] = {s->o, s->c, s->kernel, s->kernel}, ys[4] = {s->n, s->o, s->p, s->q};
    dnnl_memory_desc_t x, w, dw, b, y;
    memset(&x, 0, sizeof x), memset(&w, 0, sizeof w), memset(&dw, 0, sizeof dw), memset(&b, 0, sizeof b), memset(&y, 0, sizeof y);
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnn_primitive *p = calloc(1, sizeof *p);
    if (!p) return dnnl_out_of_memory;
    int status;
    dnnl_format_tag_t layout = s->any ? dnnl_format_tag_any : dnnl_nhwc;
    TRY_OR(describe(&x, 4, xs, type, layout), done);
    TRY_OR(describe(&y, 4, ys, type, layout), done);
    TRY_OR(describe(&w, 4, ws, type, dnnl_format_tag_any), done);
    TRY_OR(describe(&dw, 4, ws, dnnl_f32, dnnl_format_tag_any), done);
    TRY_OR(describe(&b, 1, &s->o, dnnl_f32, dnnl_x), done);
    TRY_OR(attributes(s->kind == DNN_FORWARD ? s : NULL, &attr), done);
    TRY_OR(conv_desc(c, s, x, w, dw, b, y, attr, &pd), done);

    int src = s->kind == DNN_BACKWARD_DATA ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC;
    int weights = s->kind == DNN_BACKWARD_WEIGHTS ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS;
    int dst = s->kind == DNN_FORWARD ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST;
    TRY_OR(operand(c, p, pd, src), done);
    TRY_OR(operand(c, p, pd, weights), done);
    TRY_OR(operand(c, p, pd, dst), done);
    TRY_OR(finish(c, p, pd), done);
    p->src_size = size_of(pd, src), p->weights_size = size_of(pd, weights), p->dst_size = size_of(pd, dst);
    if (s->bias) TRY_OR(operand(c, p, pd, DNNL_ARG_BIAS), done);
done:
    forget(x), forget(w), forget(dw), forget(b), forget(y);
    if (attr) dnnl_primitive_attr_destroy(attr);
    if (pd) dnnl_primitive_desc_destroy(pd);
    if (status == dnnl_success)
        *out = p;
    else
        dnn_destroy(p);
    return status;
}

int dnn_conv_bind(dnn_primitive *p, void *src, void *weights, void *bias, void *dst, void *scratch) {
    void *handles[5] = {src, weights, dst, scratch, bias};
    for (int i = 0; i < p->count; i++) TRY(dnnl_memory_set_data_handle(p->memory[i], handles[i]));
    return dnnl_success;
}

int dnn_reorder_create(dnn_context *c, const dnn_conv_spec *s, dnn_primitive *conv, int back, dnn_primitive **out) {
    long ws[4] = {s->o, s->c, s->kernel, s->kernel};
    dnnl_memory_desc_t plain;
    memset(&plain, 0, sizeof plain);
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnn_primitive *p = calloc(1, sizeof *p);
    if (!p) return dnnl_out_of_memory;
    int status;
    TRY_OR(describe(&plain, 4, ws, dnnl_f32, dnnl_oihw), done);
    TRY_OR(attributes(NULL, &attr), done);
    {
#if DNNL_VERSION_MAJOR >= 3
        const_dnnl_memory_desc_t chosen;
        TRY_OR(dnnl_memory_get_memory_desc(conv->memory[1], &chosen), done);
        const_desc_ptr from = back ? chosen : (const_desc_ptr)plain, to = back ? (const_desc_ptr)plain : chosen;
#else
        const dnnl_memory_desc_t *chosen;
        TRY_OR(dnnl_memory_get_memory_desc(conv->memory[1], &chosen), done);
        const_desc_ptr from = back ? chosen : &plain, to = back ? &plain : chosen;
#endif
        TRY_OR(dnnl_reorder_primitive_desc_create(&pd, from, c->engine, to, c->engine, attr), done);
    }
    TRY_OR(operand(c, p, pd, DNNL_ARG_FROM), done);
    TRY_OR(operand(c, p, pd, DNNL_ARG_TO), done);
    TRY_OR(finish(c, p, pd), done);
done:
    forget(plain);
    if (attr) dnnl_primitive_attr_destroy(attr);
    if (pd) dnnl_primitive_desc_destroy(pd);
    if (status == dnnl_success)
        *out = p;
    else
        dnn_destroy(p);
    return status;
}

int dnn_reorder_bind(dnn_primitive *p, void *from, void *to, void *scratch) {
    void *handles[3] = {from, to, scratch};
    for (int i = 0; i < p->count; i++) TRY(dnnl_memory_set_data_handle(p->memory[i], handles[i]));
    return dnnl_success;
}

int dnn_execute(dnn_context *c, dnn_primitive *p) {
    return dnnl_primitive_execute(p->primitive, c->stream, p->count, p->args);
}

void dnn_destroy(dnn_primitive *p) {
    if (!p) return;
    for (int i = 0; i < p->count; i++)
        if (p->memory[i]) dnnl_memory_destroy(p->memory[i]);
    if (p->primitive) dnnl_primitive_destroy(p->primitive);
    free(p);
}
