package serve

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/destseg/destseg/serve/host"
)

// writePair writes a certificate for 127.0.0.1 with a serial number, and its key.
func writePair(t *testing.T, certificate, key string, serial int64) *x509.Certificate {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err1 := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	secret, err2 := x509.MarshalPKCS8PrivateKey(private)
	parsed, err3 := x509.ParseCertificate(der)
	if err := errors.Join(err1, err2, err3,
		os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o666),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600)); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Duration(serial) * time.Minute) // lest two be written within the clock's step
	if err := errors.Join(os.Chtimes(certificate, later, later), os.Chtimes(key, later, later)); err != nil {
		t.Fatal(err)
	}
	return parsed
}

// TestKeyPairRetry checks that files which could not be used are read now and then, although
// they look the same, and not with each connection.
func TestKeyPairRetry(t *testing.T) {
	folder := t.TempDir()
	certificate, key := filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	writePair(t, certificate, key, 1)
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
	writePair(t, certificate, key, 2)
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
	first := writePair(t, certificate, key, 1)
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
	if got := serial(writePair(t, certificate, key, 2)); got != 2 {
		t.Errorf("certificate %d after it was replaced", got)
	}
	cancel()
	if err := errors.Join(<-ended, h.Close()); err != nil {
		t.Error(err)
	}
}
