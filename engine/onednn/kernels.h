// The engine's own kernels: everything but oneDNN's convolutions and products of matrices.
//
// Activations are channels last: pixel i of a tensor with C channels and
// stride ld starts at element i·ld. They are float, or bf16 where their `bf`
// is set; everything else is float. Work is split by static ranges, and
// partial sums are added in the order of the threads, so that a result is the
// same in every run on the same machine with the same number of threads. It
// depends on that number, on the instruction set that the loader picks and, for
// convolutions, on the one that oneDNN picks.
#ifndef DESTSEG_KERNELS_H
#define DESTSEG_KERNELS_H

// ds_args are the operands of a kernel; each kernel says what it expects.
typedef struct {
    void *p[8];   // tensors, NULL where an optional one is absent
    long n[12];   // extents and strides, in elements
    float f[2];   // constants
    int bf;       // activations are bf16
    int relu;     // a ReLU is fused
    int threads;  // set by the program
    double *work; // ds_work_size doubles, set by the program
} ds_args;

enum ds_kernel {
    DS_TO_PIXELS,     // p: planes N×C×HW float, y; n: N C HW
    DS_FROM_PIXELS,   // p: x, planes N×C×HW float; n: N C HW ldx
    // In blocks of 16 channels a plane holds 16 channels of all pixels, those of a pixel together. C is a multiple.
    DS_TO_BLOCKS,     // p: x, y in blocks; n: N HW C ldx; float only
    DS_FROM_BLOCKS,   // p: x in blocks, y; n: N HW C ldy; float only
    DS_STATS,         // p: x, mean, var; n: P C ldx
    DS_NORM,          // p: x, scale, shift, mean, var, residual, y; n: P C ldx ldr ldy; f: epsilon; relu
    DS_NORM_BACKWARD, // p: x, dy, y, scale, mean, var, dx, dparams (scale then shift); n: P C ldx lddy ldy lddx; f: epsilon; relu: y masks dy
    DS_RELU,          // p: x, y; n: P C ldx ldy
    DS_RELU_BACKWARD, // p: y, dy, dx; n: P C ldy lddy lddx
    DS_ADD,           // p: a, b, y; n: P C lda ldb ldy
    DS_MUL,           // as DS_ADD
    DS_MIX,           // as DS_ADD; f: alpha beta
    DS_AFFINE,        // p: x, y; n: P C ldx ldy; f: factor offset
    DS_SIGMOID,       // as DS_RELU
    DS_SIGMOID_BACKWARD, // as DS_RELU_BACKWARD
    DS_STEP,          // as DS_RELU; f: threshold
    DS_COPY,          // as DS_RELU
    DS_CONVERT,       // as DS_COPY, from float to bf16 where bf, else back
    DS_ZERO,          // p: y; n: P C ldy
    DS_MAXPOOL,       // p: x, y, place or NULL (bytes, for kernels of up to 16×16); n: N H W C P Q kernel stride padding dilation
    DS_MAXPOOL_BACKWARD, // p: place, dy, dx; n: as DS_MAXPOOL
    DS_RESIZE,        // p: x, y; n: N H W P Q C ldx ldy (H×W to P×Q)
    DS_RESIZE_BACKWARD, // p: dy, dx; n: N H W P Q C lddy lddx
    DS_MEANPOOL,      // p: x, y; n: N HW C ldx
    DS_MEANPOOL_BACKWARD, // p: dy, dx; n: N HW C
    DS_COSINE,        // p: a, b, product, similarity; n: P C lda ldb ldp; f: epsilon, factor of product
    DS_COSINE_BACKWARD, // p: a, b, dproduct, dsimilarity, da, db; n: P C lda ldb ldp; f: epsilon
    DS_SUM,           // p: x, y; n: P C ldx
    DS_BROADCAST,     // p: scalar or NULL, y; n: P C ldy; f: value where there is no scalar
    DS_FOCAL,         // p: p, t, y; n: count; f: gamma
    DS_FOCAL_BACKWARD, // p: p, t, dy, dp; n: count; f: gamma
    DS_L1,            // p: p, t, y; n: count
    DS_L1_BACKWARD,   // p: p, t, dy, dp; n: count
    DS_CROSS_ENTROPY, // p: x, t, y; n: P C ldx ldt; f: smoothing
    DS_CROSS_ENTROPY_BACKWARD, // p: x, t, dy, dx; n: P C ldx ldt lddx; f: smoothing
    DS_CHANNEL_SUM,   // p: x, y; n: P C ldx
    DS_DOT,           // p: x, w, bias, y float; n: P C ldx: convolution 1×1 to one channel
    DS_DOT_BACKWARD_DATA, // p: dy float, w, dx; n: P C lddx
    DS_DOT_BACKWARD_WEIGHTS, // p: x, dy float, dw; n: P C ldx
    // A spread convolution is one, of stride 1, of the map that has p everywhere
    // inside and zeros in the padding; w is a slice of weights, its rows ldw apart.
    DS_SPREAD,        // p: p, w, y, taps N×K²×O float; n: N C H W O kernel padding dilation ldw
    DS_TAP_SUMS,      // p: dy, sums N×O×K² float, pixels by class float; n: N H W O kernel padding dilation lddy: sums of dy where a tap is inside
    DS_SPREAD_DATA,   // p: sums, w, dp; n: N C O K² ldw
    DS_SPREAD_WEIGHTS, // p: p, sums, dw; n: N C O K² lddw
    // Weights in the layout of a convolution: element (o, i, k) lies at places[o] + places[O+i] + places[O+I+k].
    DS_PACK,          // p: w float row-major, packed, places; n: O I K² bytes to clear first
    DS_UNPACK,        // p: packed float, w float row-major, places; n: O I K²
    // Winograd's convolutions: tiles of m×m results, T of them at a time from first on, but none from end on; (m+2)² matrices of tiles or weights.
    DS_SOURCE_TILES,  // p: x, tiles float; n: first T end H W C ldx P Q margin dilation m
    DS_GRADIENT_TILES, // p: dy, tiles float; n: first T end P Q O lddy P Q 0 dilation m
    DS_TARGET_TILES,  // p: tiles float, bias or NULL, y; n: first T end P Q O ldy dilation m, whether to add to y; relu
    DS_FILTER_TILES,  // p: w float row-major, matrices I×O float; n: O I, whether they are turned for a gradient of x, m
    DS_FILTER_GRADIENT, // p: matrices I×O float, dw float row-major; n: O I m
    DS_SGD,           // p: w, gradient, momentum, rate; n: count; f: momentum, decay
    DS_FOLD,          // p: w, scale, shift, mean, var, w', bias'; n: O, elements per O; f: epsilon
    // Levels are bytes, signed where the lowest is below 0: a number is a step times its level.
    DS_QUANTIZE,      // p: x, y levels; n: P C ldx ldy lowest; f: step
    DS_DEQUANTIZE,    // p: x levels, y; n: P C ldx ldy lowest; f: step
    DS_COPY_LEVELS,   // p: x levels, y levels; n: P C ldx ldy
    DS_MEANPOOL_LEVELS, // p: x levels, y; n: N HW C ldx lowest; f: step
    // Weights have levels from −127 to 127, the latter being that of the largest of an output channel.
    DS_WEIGHT_SIZES,  // p: w, sizes; n: O, elements per O: the size of that largest one
    DS_ROUND_WEIGHTS, // p: w, sizes, w'; n: O, elements per O
    DS_PACK_LEVELS,   // p: w, packed levels, places, sizes; n: O I K² bytes to clear first
    DS_FACTORS,       // p: sizes, bias or NULL, factors, bias'; n: O; f: step of x, step of y: what an integer convolution takes for both
    DS_KERNELS
};

void ds_kernel_run(int kernel, const ds_args *a);
const char *ds_kernel_name(int kernel);

// ds_work_size is how many doubles ds_args.work needs for tensors of up to
// that many channels.
long ds_work_size(int threads, long channels);

// ds_tiles is how many tiles a picture of h×w results has.
long ds_tiles(long h, long w, long dilation, long m);

// ds_classes is the most classes of pixels that DS_TAP_SUMS tells apart.
long ds_classes(long kernel);

#endif
