// Package graph describes a network as data: operations, shapes and named
// tensors, without any arithmetic.
//
// A [Graph] is a list of nodes in the order in which they can be executed.
// One description serves inference, training and exchange formats: an engine
// lowers the nodes to its own primitives and decides layouts, precisions and
// fusions by itself.
//
// # Shapes
//
// Activations are N×C×H×W, convolution weights O×I×H×W, per-channel vectors
// have one dimension and scalars none. Shapes are logical; how an engine lays
// a tensor out in memory is its own business.
//
// # Differentiation
//
// [Gradients] extends a graph by explicit backward nodes. Nothing is
// differentiated at run time, so one liveness analysis covers forward and
// backward, and each backward operation can be tested alone.
//
// # State
//
// Variables (parameters, running statistics, momentum buffers) live in the
// program that an engine compiles. [Graph.Update] says what replaces a
// variable's value once the whole graph has run; every node reads the value
// from before the run.
package graph
