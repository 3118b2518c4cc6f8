package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	pb "github.com/destseg/destseg/serve/oip/inferencepb"
)

// TestServeGRPC asks a service over gRPC which models it has, and ends it.
func TestServeGRPC(t *testing.T) {
	detector := detectorFile(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reader, stderr := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"serve", detector, "--listen", "127.0.0.1:0", "--grpc", "127.0.0.1:0"}, io.Discard, stderr)
		stderr.Close()
	}()
	lines, address := bufio.NewScanner(reader), ""
	for address == "" && lines.Scan() {
		_, address, _ = strings.Cut(lines.Text(), "gRPC on ")
	}
	go io.Copy(io.Discard, reader)
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	client := pb.NewGRPCInferenceServiceClient(connection)
	index, err := client.RepositoryIndex(t.Context(), &pb.RepositoryIndexRequest{})
	if err != nil || len(index.Models) != 1 || index.Models[0].State != "READY" {
		t.Errorf("%v, %v", index, err)
	}
	cancel()
	if code := <-ended; code != 0 {
		t.Errorf("exit status %d", code)
	}
}

func TestServeGRPCRefused(t *testing.T) {
	var stderr bytes.Buffer
	code := run(t.Context(), []string{"serve", detectorFile(t), "--listen", "127.0.0.1:0", "--grpc", "0.0.0.0:0"}, io.Discard, &stderr)
	if code != exitUsage || !strings.Contains(stderr.String(), "0.0.0.0:0 can be reached from other machines") {
		t.Errorf("exit status %d: %s", code, &stderr)
	}
}
