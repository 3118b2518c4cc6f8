// Package inferencepb holds the messages and the service of inference.proto, the Open
// Inference Protocol over gRPC, as generated Go code.
package inferencepb

//go:generate go run github.com/bufbuild/buf/cmd/buf@v1.75.0 generate
