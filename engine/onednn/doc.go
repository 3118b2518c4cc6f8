// Package onednn runs graphs on the processor with oneDNN, the library under
// PyTorch's and TensorFlow's CPU layers, in fp32, bf16 and int8.
//
// Compile lowers a graph in one pass to a flat list of steps, each a oneDNN
// convolution or a kernel of this package, and plans one block of memory for
// all tensors. A run is one call into C.
//
// Activations are stored channels last. Frozen batch norms are folded into
// their convolutions, whose bias, residual sum and ReLU are applied while the
// result is in the registers; trained ones are fused with the sum and ReLU
// that follow. Weights are held row-major in fp32 and copied to the layout and
// precision that the convolution prefers: once when frozen, each step when
// trained.
//
// Convolutions of 3×3 and stride 1 are computed by products of tiles (Winograd) where that
// is faster and precise enough: with a third to two thirds of the multiplications, in fp32,
// which beats bf16 on processors without AMX. The trained way forward in fp32 is left
// alone.
//
// Convolutions of rounded numbers, [graph.OpQuantize], are computed in 8-bit integers
// where the processor sums their products in 32 bits, and elsewhere as numbers. What
// passes from one to the next are bytes; so are residuals.
//
// The package needs cgo and the library's headers (Debian: libdnnl-dev,
// Homebrew: onednn). Without cgo, [New] returns engine.ErrUnavailable.
package onednn
