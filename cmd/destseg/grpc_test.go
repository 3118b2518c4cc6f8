package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/destseg/destseg/internal/tlstest"
	pb "github.com/destseg/destseg/serve/oip/inferencepb"
)

// TestServeGRPC asks a service over gRPC which models it has, in plain and with TLS and a
// token, and ends it.
func TestServeGRPC(t *testing.T) {
	folder := t.TempDir()
	certificate, key := filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	tlstest.Write(t, certificate, key, 1)
	secure, err := credentials.NewClientTLSFromFile(certificate, "")
	if err != nil {
		t.Fatal(err)
	}
	const token = "0123456789abcdef"
	for name, c := range map[string]struct {
		flags       []string
		token       string
		credentials credentials.TransportCredentials
	}{
		"plain":          {nil, "", insecure.NewCredentials()},
		"TLS and tokens": {[]string{"--tls-cert", certificate, "--tls-key", key}, token, secure},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(readTokenVariable, c.token)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			reader, stderr := io.Pipe()
			ended := make(chan int, 1)
			args := append([]string{"serve", detectorFile(t), "--listen", "127.0.0.1:0", "--grpc", "127.0.0.1:0"}, c.flags...)
			go func() {
				ended <- run(ctx, args, io.Discard, stderr)
				stderr.Close()
			}()
			lines, address := bufio.NewScanner(reader), ""
			for address == "" && lines.Scan() {
				_, address, _ = strings.Cut(lines.Text(), "gRPC on ")
			}
			go io.Copy(io.Discard, reader)
			connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(c.credentials))
			if err != nil {
				t.Fatal(err)
			}
			defer connection.Close()
			client := pb.NewGRPCInferenceServiceClient(connection)
			withToken := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
			index, err := client.RepositoryIndex(withToken, &pb.RepositoryIndexRequest{})
			if err != nil || len(index.Models) != 1 || index.Models[0].State != "READY" {
				t.Errorf("%v, %v", index, err)
			}
			_, err = client.RepositoryIndex(t.Context(), &pb.RepositoryIndexRequest{})
			if got := status.Code(err); (got == codes.Unauthenticated) != (c.token != "") {
				t.Errorf("without a token: %v", err)
			}
			cancel()
			if code := <-ended; code != 0 {
				t.Errorf("exit status %d", code)
			}
		})
	}
}

func TestServeGRPCRefused(t *testing.T) {
	var stderr bytes.Buffer
	code := run(t.Context(), []string{"serve", detectorFile(t), "--listen", "127.0.0.1:0", "--grpc", "0.0.0.0:0"}, io.Discard, &stderr)
	if code != exitUsage || !strings.Contains(stderr.String(), "0.0.0.0:0 can be reached from other machines") {
		t.Errorf("exit status %d: %s", code, &stderr)
	}
}
