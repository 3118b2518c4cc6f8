package serve

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// TLSFiles returns a configuration with the certificate chain and key in PEM files,
// which may be replaced at any time. Errors name the files.
func TLSFiles(certificate, key string) (*tls.Config, error) {
	k := &keyPair{certificate: certificate, key: key}
	if _, err := k.get(nil); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: k.get}, nil
}

// A keyPair follows its files.
type keyPair struct {
	certificate, key string

	mu       sync.Mutex
	current  *tls.Certificate
	modified [2]time.Time
}

// get returns the pair as it is now, or as it was if the files do not fit, which they
// may not while they are being replaced.
func (k *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var modified [2]time.Time
	for i, path := range []string{k.certificate, k.key} {
		if info, err := os.Stat(path); err == nil {
			modified[i] = info.ModTime()
		}
	}
	if k.current != nil && modified == k.modified {
		return k.current, nil
	}
	pair, err := tls.LoadX509KeyPair(k.certificate, k.key)
	switch {
	case err == nil:
		k.current, k.modified = &pair, modified
	case k.current == nil:
		return nil, fmt.Errorf("certificate %s with key %s: %w", k.certificate, k.key, err)
	}
	return k.current, nil
}
