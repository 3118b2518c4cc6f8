// Package network defines the networks of DeSTSeg (Zhang et al., CVPR 2023,
// arXiv 2211.11317) as graphs: the frozen teacher, the denoising student, the
// segmentation network and the losses of both training stages.
//
// Every tensor carries the name it has in the published state dict, so that
// checkpoints move in both directions. Heights and widths are multiples of 32
// and batches are any size.
package network
