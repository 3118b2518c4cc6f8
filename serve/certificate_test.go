package serve

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/destseg/destseg/internal/tlstest"
	"github.com/destseg/destseg/serve/host"
)

// TestKeyPairRetry checks that files which could not be used are read now and then, although
// they look the same, and not with each connection.
func TestKeyPairRetry(t *testing.T) {
	folder := t.TempDir()
	certificate, key := filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	tlstest.Write(t, certificate, key, 1)
	log := new(lockedBuffer)
	k := &keyPair{certificate: certificate, key: key, log: slog.New(slog.NewTextHandler(log, nil))}
	serial := func() int64 {
		t.Helper()
		pair, err := k.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf.SerialNumber.Int64()
	}
	serial()
	tlstest.Write(t, certificate, key, 2)
	k.failed, k.retry = k.stamp(), time.Now().Add(time.Hour) // as if they had not been readable
	if got := serial(); got != 1 {
		t.Errorf("certificate %d, from files that failed a moment ago", got)
	}
	k.retry = time.Now()
	if got := serial(); got != 2 {
		t.Errorf("certificate %d after a while", got)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := serial(); got != 2 {
			t.Errorf("certificate %d without a key", got)
		}
		k.retry = time.Now()
	}
	if text := log.String(); strings.Count(text, "can't be used") != 1 {
		t.Errorf("read twice, told: %s", text)
	}
}

// TestTLS replaces the certificate while the service runs.
func TestTLS(t *testing.T) {
	folder := t.TempDir()
	certificate, key := filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	log := new(lockedBuffer)
	logger := slog.New(slog.NewTextHandler(log, nil))
	if _, err := TLSFiles(certificate, key, logger); err == nil || !strings.Contains(err.Error(), certificate) {
		t.Error(err)
	}
	first := tlstest.Write(t, certificate, key, 1)
	config, err := TLSFiles(certificate, key, logger)
	if err != nil {
		t.Fatal(err)
	}
	h, err := host.New(host.Options{Sources: []string{detectors}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- New(Config{Host: h, Limits: DefaultLimits()}).Serve(ctx, l, config, time.Minute) }()
	serial := func(trusted *x509.Certificate) int64 {
		t.Helper()
		pool := x509.NewCertPool()
		pool.AddCert(trusted)
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: pool})
		if err != nil {
			t.Error(err)
			return 0
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(first); got != 1 {
		t.Errorf("certificate %d", got)
	}
	if err := os.WriteFile(certificate, []byte("half of"), 0o666); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got := serial(first); got != 1 {
			t.Errorf("certificate %d while the file is replaced", got)
		}
	}
	// Once, and again when the files have changed.
	if text := log.String(); strings.Count(text, "can't be used") != 1 || !strings.Contains(text, certificate) || !strings.Contains(text, key) {
		t.Errorf("three connections with a damaged file: %s", text)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if got := serial(first); got != 1 {
		t.Errorf("certificate %d without a key", got)
	}
	if text := log.String(); strings.Count(text, "can't be used") != 2 {
		t.Errorf("with one file damaged and the other one gone: %s", text)
	}
	if got := serial(tlstest.Write(t, certificate, key, 2)); got != 2 {
		t.Errorf("certificate %d after it was replaced", got)
	}
	cancel()
	if err := errors.Join(<-ended, h.Close()); err != nil {
		t.Error(err)
	}
}
