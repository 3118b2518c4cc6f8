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

int dnn_tiles_bf16(void) {
#if defined(__x86_64__)
    return (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core_amx) == dnnl_cpu_isa_avx512_core_amx;
#else
    return 0;
#endif
}

int dnn_native_int8(void) {
#if defined(__x86_64__)
    dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
    return (isa & dnnl_cpu_isa_avx512_core_vnni) == dnnl_cpu_isa_avx512_core_vnni ||
           (isa & dnnl_cpu_isa_avx2_vnni) == dnnl_cpu_isa_avx2_vnni;
#else
    return 0;
#endif
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

static dnnl_data_type_t type_of(const dnn_conv_spec *s, int type) {
    return type == DNN_U8 ? dnnl_u8 : type == DNN_S8 ? dnnl_s8 : s->bf16 ? dnnl_bf16 : dnnl_f32;
}

// The factors of an integer convolution, one for each output channel. They are a
// post-operation, which both versions take when the convolution runs; of version 2's output
// scales its fast code wants to know the values beforehand.
static int describe_factors(dnnl_memory_desc_t *d, const dnn_conv_spec *s) {
    return describe(d, 4, (long[]){1, s->o, 1, 1}, dnnl_f32, dnnl_nhwc);
}

static int append_sum(dnnl_post_ops_t ops, float scale, dnnl_data_type_t type) {
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_post_ops_append_sum(ops, scale, 0, type);
#else
    return dnnl_post_ops_append_sum_v2(ops, scale, type);
#endif
}

static int append_relu(dnnl_post_ops_t ops) {
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_post_ops_append_eltwise(ops, dnnl_eltwise_relu, 0.f, 0.f);
#else
    return dnnl_post_ops_append_eltwise(ops, 1.f, dnnl_eltwise_relu, 0.f, 0.f);
#endif
}

static int append_factors(dnnl_post_ops_t ops, const dnn_conv_spec *s) {
    dnnl_memory_desc_t d;
    TRY(describe_factors(&d, s));
#if DNNL_VERSION_MAJOR >= 3
    int status = dnnl_post_ops_append_binary(ops, dnnl_binary_mul, d);
#else
    int status = dnnl_post_ops_append_binary(ops, dnnl_binary_mul, &d);
#endif
    forget(d);
    return status;
}

// What is done to the sums of a convolution, in this order.
static int append_operations(dnnl_post_ops_t ops, const dnn_conv_spec *s) {
    if (s->factors) TRY(append_factors(ops, s));
    if (s->sum) TRY(append_sum(ops, s->sum_scale ? s->sum_scale : 1, type_of(s, s->sum_type)));
    if (s->relu) TRY(append_relu(ops));
    return dnnl_success;
}

// Post-operations and a scratchpad that the caller provides. Out is to be destroyed even
// after a failure.
static int attributes(dnnl_post_ops_t ops, dnnl_primitive_attr_t *out) {
    TRY(dnnl_primitive_attr_create(out));
    TRY(dnnl_primitive_attr_set_scratchpad_mode(*out, dnnl_scratchpad_mode_user));
    return dnnl_primitive_attr_set_post_ops(*out, ops);
}

static int operand_of(dnn_context *c, dnn_primitive *p, int arg, const_desc_ptr d) {
    int i = p->count++;
    p->args[i].arg = arg;
    TRY(dnnl_memory_create(&p->memory[i], d, c->engine, DNNL_MEMORY_NONE));
    p->args[i].memory = p->memory[i];
    return dnnl_success;
}

static int factors_operand(dnn_context *c, dnn_primitive *p, const dnn_conv_spec *s) {
    dnnl_memory_desc_t d;
    TRY(describe_factors(&d, s));
#if DNNL_VERSION_MAJOR >= 3
    int status = operand_of(c, p, DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, d);
#else
    int status = operand_of(c, p, DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, &d);
#endif
    forget(d);
    return status;
}

// A making is a primitive that is not done yet, and what it is made from.
typedef struct {
    dnn_primitive *p;
    dnnl_post_ops_t ops;
    dnnl_primitive_attr_t attr;
    dnnl_primitive_desc_t pd;
} making;

static int begin(making *m) {
    memset(m, 0, sizeof *m);
    m->p = calloc(1, sizeof *m->p);
    return m->p ? dnnl_post_ops_create(&m->ops) : dnnl_out_of_memory;
}

static int operand(dnn_context *c, making *m, int arg) {
    return operand_of(c, m->p, arg, dnnl_primitive_desc_query_md(m->pd, dnnl_query_exec_arg_md, arg));
}

static size_t size_of(dnnl_primitive_desc_t pd, int arg) {
    return dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(pd, dnnl_query_exec_arg_md, arg));
}

static int finish(dnn_context *c, making *m) {
    const_desc_ptr d = dnnl_primitive_desc_query_md(m->pd, dnnl_query_scratchpad_md, 0);
    m->p->scratch_size = dnnl_memory_desc_get_size(d);
    TRY(operand(c, m, DNNL_ARG_SCRATCHPAD));
    const char *info = NULL;
    if (dnnl_primitive_desc_query(m->pd, dnnl_query_impl_info_str, 0, &info) == dnnl_success && info)
        strncpy(m->p->implementation, info, sizeof m->p->implementation - 1);
    return dnnl_primitive_create(&m->p->primitive, m->pd);
}

static int conv_desc(dnn_context *c, const dnn_conv_spec *s, dnnl_memory_desc_t x, dnnl_memory_desc_t w,
                     dnnl_memory_desc_t dw, dnnl_memory_desc_t b, dnnl_memory_desc_t y,
                     dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *out) {
    dnnl_dims_t stride = {s->stride, s->stride}, pad = {s->padding, s->padding};
    dnnl_dims_t dilate = {s->dilation - 1, s->dilation - 1};
    dnnl_primitive_desc_t hint = NULL;
    int status;
    dnnl_prop_kind_t prop = dnnl_forward_inference; // backward passes need nothing that the other kind would keep
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

// Ends the making of a primitive, well or not.
static int hand_over(making *m, int status, dnn_primitive **out) {
    if (m->ops) dnnl_post_ops_destroy(m->ops);
    if (m->attr) dnnl_primitive_attr_destroy(m->attr);
    if (m->pd) dnnl_primitive_desc_destroy(m->pd);
    if (status == dnnl_success)
        *out = m->p;
    else
        dnn_destroy(m->p);
    return status;
}

int dnn_conv_create(dnn_context *c, const dnn_conv_spec *s, dnn_primitive **out) {
    dnnl_data_type_t type = s->bf16 ? dnnl_bf16 : dnnl_f32;
    long xs[4] = {s->n, s->c, s->h, s->w}, ws[4] = {s->o, s->c, s->kernel, s->kernel}, ys[4] = {s->n, s->o, s->p, s->q};
    dnnl_memory_desc_t x, w, dw, b, y;
    memset(&x, 0, sizeof x), memset(&w, 0, sizeof w), memset(&dw, 0, sizeof dw), memset(&b, 0, sizeof b), memset(&y, 0, sizeof y);
    making m;
    int status;
    TRY_OR(begin(&m), done);
    dnnl_format_tag_t layout = (dnnl_format_tag_t[]){dnnl_nhwc, dnnl_nChw16c, dnnl_format_tag_any}[s->layout];
    TRY_OR(describe(&x, 4, xs, s->integer ? dnnl_u8 : type, layout), done);
    TRY_OR(describe(&y, 4, ys, type_of(s, s->dst), layout), done);
    TRY_OR(describe(&w, 4, ws, s->integer ? dnnl_s8 : type, dnnl_format_tag_any), done);
    TRY_OR(describe(&dw, 4, ws, dnnl_f32, dnnl_format_tag_any), done);
    TRY_OR(describe(&b, 1, &s->o, dnnl_f32, dnnl_x), done);
    if (s->kind == DNN_FORWARD) TRY_OR(append_operations(m.ops, s), done);
    TRY_OR(attributes(m.ops, &m.attr), done);
    TRY_OR(conv_desc(c, s, x, w, dw, b, y, m.attr, &m.pd), done);

    int src = s->kind == DNN_BACKWARD_DATA ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC;
    int weights = s->kind == DNN_BACKWARD_WEIGHTS ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS;
    int dst = s->kind == DNN_FORWARD ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST;
    TRY_OR(operand(c, &m, src), done);
    TRY_OR(operand(c, &m, weights), done);
    TRY_OR(operand(c, &m, dst), done);
    TRY_OR(finish(c, &m), done);
    m.p->src_size = size_of(m.pd, src), m.p->weights_size = size_of(m.pd, weights), m.p->dst_size = size_of(m.pd, dst);
    if (s->bias) TRY_OR(operand(c, &m, DNNL_ARG_BIAS), done);
    if (s->factors) TRY_OR(factors_operand(c, m.p, s), done);
done:
    forget(x), forget(w), forget(dw), forget(b), forget(y);
    return hand_over(&m, status, out);
}

int dnn_product_create(dnn_context *c, long count, long rows, long inner, long columns, int transposed, int sum, dnn_primitive **out) {
    dnnl_memory_desc_t a, b, d;
    memset(&a, 0, sizeof a), memset(&b, 0, sizeof b), memset(&d, 0, sizeof d);
    making m;
    int status;
    TRY_OR(begin(&m), done);
    TRY_OR(describe(&a, 3, (long[]){count, rows, inner}, dnnl_f32, transposed ? dnnl_acb : dnnl_abc), done);
    TRY_OR(describe(&b, 3, (long[]){count, inner, columns}, dnnl_f32, dnnl_abc), done);
    TRY_OR(describe(&d, 3, (long[]){count, rows, columns}, dnnl_f32, dnnl_abc), done);
    if (sum) TRY_OR(append_sum(m.ops, 1, dnnl_f32), done);
    TRY_OR(attributes(m.ops, &m.attr), done);
#if DNNL_VERSION_MAJOR >= 3
    TRY_OR(dnnl_matmul_primitive_desc_create(&m.pd, c->engine, a, b, NULL, d, m.attr), done);
#else
    dnnl_matmul_desc_t desc;
    TRY_OR(dnnl_matmul_desc_init(&desc, &a, &b, NULL, &d), done);
    TRY_OR(dnnl_primitive_desc_create(&m.pd, &desc, m.attr, c->engine, NULL), done);
#endif
    TRY_OR(operand(c, &m, DNNL_ARG_SRC), done);
    TRY_OR(operand(c, &m, DNNL_ARG_WEIGHTS), done);
    TRY_OR(operand(c, &m, DNNL_ARG_DST), done);
    TRY_OR(finish(c, &m), done);
done:
    forget(a), forget(b), forget(d);
    return hand_over(&m, status, out);
}

int dnn_bind(dnn_primitive *p, void *src, void *weights, void *bias, void *dst, void *scratch, void *factors) {
    void *handles[6] = {src, weights, dst, scratch, bias, factors};
    for (int i = 0; i < p->count; i++) TRY(dnnl_memory_set_data_handle(p->memory[i], handles[i]));
    return dnnl_success;
}

// A blocking is a layout in which each dimension is cut into blocks and what is
// left of its index has a stride of its own.
typedef struct {
    dnnl_dim_t strides[4];
    int count;
    dnnl_dim_t sizes[DNNL_MAX_NDIMS], dims[DNNL_MAX_NDIMS]; // of the blocks, outermost first
} blocking;

static int blocking_of(const_desc_ptr d, blocking *b) {
#if DNNL_VERSION_MAJOR >= 3
    dnnl_format_kind_t kind;
    int32_t count = 0;
    TRY(dnnl_memory_desc_query(d, dnnl_query_format_kind, &kind));
    if (kind != dnnl_blocked) return dnnl_unimplemented;
    const dnnl_dims_t *v = NULL;
    TRY(dnnl_memory_desc_query(d, dnnl_query_strides, &v));
    memcpy(b->strides, *v, sizeof b->strides);
    TRY(dnnl_memory_desc_query(d, dnnl_query_inner_nblks_s32, &count));
    b->count = count;
    if (!count) return dnnl_success;
    TRY(dnnl_memory_desc_query(d, dnnl_query_inner_blks, &v));
    memcpy(b->sizes, *v, count * sizeof *b->sizes);
    TRY(dnnl_memory_desc_query(d, dnnl_query_inner_idxs, &v));
    memcpy(b->dims, *v, count * sizeof *b->dims);
#else
    if (d->format_kind != dnnl_blocked) return dnnl_unimplemented;
    const dnnl_blocking_desc_t *from = &d->format_desc.blocking;
    memcpy(b->strides, from->strides, sizeof b->strides);
    b->count = from->inner_nblks;
    memcpy(b->sizes, from->inner_blks, b->count * sizeof *b->sizes);
    memcpy(b->dims, from->inner_idxs, b->count * sizeof *b->dims);
#endif
    return dnnl_success;
}

int dnn_conv_layout(const dnn_primitive *p) {
    int layouts[2];
    for (int i = 0; i < 2; i++) {
        blocking b;
        const_desc_ptr d;
        if (dnnl_memory_get_memory_desc(p->memory[2 * i], &d) != dnnl_success || blocking_of(d, &b) != dnnl_success) return DNN_ANY;
        layouts[i] = b.count == 1 && b.dims[0] == 1 && b.sizes[0] == DNN_BLOCK ? DNN_BLOCKS
                   : b.count == 0 && b.strides[1] == 1                         ? DNN_PIXELS
                                                                               : DNN_ANY;
    }
    return layouts[0] == layouts[1] ? layouts[0] : DNN_ANY;
}

// place is what index x of a dimension adds to an element's place.
static long place(const blocking *b, int dim, long x) {
    long at = 0, inside = 1;
    for (int i = b->count - 1; i >= 0; i--) {
        if (b->dims[i] == dim) {
            at += x % b->sizes[i] * inside;
            x /= b->sizes[i];
        }
        inside *= b->sizes[i];
    }
    return at + x * b->strides[dim];
}

int dnn_weights_places(const dnn_primitive *conv, const dnn_conv_spec *s, long *places) {
    blocking b;
    const_desc_ptr d;
    TRY(dnnl_memory_get_memory_desc(conv->memory[1], &d));
    TRY(blocking_of(d, &b));
    for (long o = 0; o < s->o; o++) *places++ = place(&b, 0, o);
    for (long i = 0; i < s->c; i++) *places++ = place(&b, 1, i);
    for (long y = 0; y < s->kernel; y++)
        for (long x = 0; x < s->kernel; x++) *places++ = place(&b, 2, y) + place(&b, 3, x);
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
