// The part of oneDNN that this engine uses: convolutions and products of matrices,
// behind one interface for the library's versions 2 and 3.
#ifndef DESTSEG_SHIM_H
#define DESTSEG_SHIM_H

#include <stddef.h>

#if !__has_include(<oneapi/dnnl/dnnl.h>)
#error "oneDNN is not installed: run `apt-get install libdnnl-dev` (Homebrew: `brew install onednn`), or build with CGO_ENABLED=0 for the slow engine"
#endif
#include <oneapi/dnnl/dnnl.h>

// dnn_context is oneDNN's engine and stream.
typedef struct {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
} dnn_context;

enum dnn_kind { DNN_FORWARD, DNN_BACKWARD_DATA, DNN_BACKWARD_WEIGHTS };

// How activations lie: channels last without gaps; in planes of DNN_BLOCK
// channels, which follow each other at each pixel; or as the library prefers.
enum dnn_layout { DNN_PIXELS, DNN_BLOCKS, DNN_ANY };
enum { DNN_BLOCK = 16 };

// What the numbers of a tensor are: fp32 or, where the convolution's bf16 is set, bf16;
// or levels in 8 bits.
enum dnn_type { DNN_REAL, DNN_U8, DNN_S8 };

// dnn_conv_spec describes a convolution N×C×H×W → N×O×P×Q.
typedef struct {
    int kind;
    long n, c, h, w, o, p, q, kernel, stride, padding, dilation;
    int bf16;      // activations and weights; gradients of weights stay fp32
    int bias;      // a bias of O fp32 values is added
    int sum;       // the result is added to what the destination holds
    int relu;      // after bias and sum
    int layout;    // of activations
    // A forward convolution in integers has a source of DNN_U8 and weights of DNN_S8. Its
    // sums of products and bias are multiplied by O fp32 factors before all else.
    int integer, factors;
    int dst, sum_type; // the destination, and what it holds before: enum dnn_type
    float sum_scale;   // of what it holds before; 0 means 1
} dnn_conv_spec;

// dnn_primitive is an executable with its operands.
typedef struct {
    dnnl_primitive_t primitive;
    dnnl_memory_t memory[6];
    dnnl_exec_arg_t args[6];
    int count;
    size_t src_size, weights_size, dst_size; // bytes, in the layouts that the convolution chose
    size_t scratch_size; // bytes
    char implementation[64];
} dnn_primitive;

// Every function returns a dnnl_status_t, 0 for success.
int dnn_open(dnn_context **out);
void dnn_close(dnn_context *c);

// Creates a convolution, whose operands dnn_bind sets later: src and dst are the
// activations or their gradients, weights the weights or theirs. With factors there
// is a bias, too.
int dnn_conv_create(dnn_context *c, const dnn_conv_spec *s, dnn_primitive **out);

// Tells which layout a convolution has for its activations: DNN_PIXELS,
// DNN_BLOCKS, or DNN_ANY for every other one.
int dnn_conv_layout(const dnn_primitive *p);

// Tells where the layout that a convolution chose for its weights has them:
// the one of output channel o, input channel i and tap k at places[o] +
// places[O + i] + places[O + I + k], in elements. places has room for O + I + K²
// values. A layout that is not made of blocks gives dnnl_unimplemented.
int dnn_weights_places(const dnn_primitive *conv, const dnn_conv_spec *s, long *places);

// Creates count products of fp32 matrices, src×weights = dst, each rows×inner times
// inner×columns and row-major. Where it is transposed src is inner×rows; where there is
// a sum the products are added to what is there.
int dnn_product_create(dnn_context *c, long count, long rows, long inner, long columns, int transposed, int sum, dnn_primitive **out);

// Sets the operands of either. What it does not have is NULL.
int dnn_bind(dnn_primitive *p, void *src, void *weights, void *bias, void *dst, void *scratch, void *factors);
int dnn_execute(dnn_context *c, dnn_primitive *p);
void dnn_destroy(dnn_primitive *p);

// Version as 10000·major + 100·minor + patch.
int dnn_version(void);
// Whether bf16 is computed natively: by AMX or AVX512-BF16.
int dnn_native_bf16(void);
// Whether AMX computes it, sixteen times as fast as fp32 and not twice.
int dnn_tiles_bf16(void);
// Whether products of 8-bit integers are summed natively in 32 bits: by AMX,
// AVX512-VNNI or AVX-VNNI. Older x86 processors sum pairs in 16 bits first, which
// do not hold them.
int dnn_native_int8(void);

#endif
