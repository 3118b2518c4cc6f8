// Package oip speaks the Open Inference Protocol, version 2, over HTTP and gRPC, so that
// clients of KServe, Triton and others use detectors unchanged. The protocol's text is at
// https://github.com/kserve/open-inference-protocol; the binary tensor data extension and
// the repository index are Triton's
// (https://github.com/triton-inference-server/server, docs/protocol).
//
// [NewHandler] and [NewGRPCServer] speak it for any [Models]; [NewModels] makes such models
// of detectors.
//
// # The tensors of a detector
//
// The input "image" is a batch of N pictures in one of two forms:
//
//   - UINT8 [N, height, width, 3]: RGB of any size, which is what the metadata say;
//   - BYTES [N]: picture files of any kind that package picture reads, each of its own size,
//     as they are or in base64, which JSON needs.
//
// The outputs, all of them unless the request names some:
//
//   - "score", FP64 [N]: the image scores, in [0,1];
//   - "threshold", FP64 [1]: the largest score of a good picture;
//   - "anomalous", BOOL [N]: whether the score is above the threshold;
//   - "anomaly_map", FP32 [N, height, width]: in [0,1], at the size of the pictures or, for
//     pictures of different sizes, at that of the output's parameters "width" and "height";
//   - "regions", BYTES [N]: for each picture a JSON array of [region.Region].
//
// A detector without a threshold has score and anomaly_map alone. As a map is larger than its
// picture, a request that needs none should name the outputs. Every detector has the version
// "1", its file as it is now, and the response's parameter "digest" is the SHA-256 of the
// file that judged all pictures of the request.
package oip
