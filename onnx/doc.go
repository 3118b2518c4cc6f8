// Package onnx writes detectors as ONNX models, which ONNX Runtime, OpenVINO, TensorRT
// and others run.
//
// # What a model takes and gives
//
// Without preprocessing its input "image" is N×3×H×W in float32, normalised as
// [destseg.Preprocessing] says, for any N. H and W are those of the network, or with
// [Options.DynamicSize] any multiples of 32. With [Options.Preprocessing] the input
// "picture" is N×H×W×3 in uint8, RGB of any size, and the graph resizes and normalises it
// as the detector does, to the bit: Pillow's bilinear filter, whose weights, in integers,
// the graph computes from the picture's size. ONNX's own antialiased Resize
// came later, with opset 18, and leaves rounding open.
//
// The output "anomaly_map" is N×1×H×W in float32, in [0,1], at the size of the input;
// "score" has N elements, the mean of the 100 largest values of the map at network
// scale; "dest_map", with [Options.DeST], is the DeST map, sized like the other. They are
// what [destseg.Inspection] calls Map, Score and DeSTMap, but for the ROI: a graph has
// none, and [Write] refuses a detector that has one unless told to leave it out.
//
// The model's metadata hold the detector's record, in JSON, under the key "destseg", as
// its own file does: thresholds are there.
//
// # Precisions
//
// Batch norms are folded into convolutions, in float64. In [Float16] weights and most
// activations are half precision; what sums up squares or many values, the channel norms,
// the mean over the picture, and all from the last convolution on, stays float32, as do
// inputs and outputs.
//
// [Int8] has the roundings of package quantize as pairs of QuantizeLinear and
// DequantizeLinear: activations in uint8 with a step a tensor, weights in int8 with a step
// a channel, biases in int32. ONNX Runtime computes a convolution in integers if what it
// reads and what it gives is rounded. So in front of sums, where our engine rounds
// nothing, results of convolutions are rounded too.
//
// The models are of opset 17 and IR version 8 (ONNX 1.12, 2022). The same detector and
// options give the same bytes.
package onnx
