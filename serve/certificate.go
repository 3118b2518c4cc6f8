package serve

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// TLSFiles returns a configuration with the certificate chain and key in PEM files,
// which may be replaced at any time; log hears of a replacement that can't be used. Errors
// name the files.
func TLSFiles(certificate, key string, log *slog.Logger) (*tls.Config, error) {
	k := &keyPair{certificate: certificate, key: key, log: log}
	if _, err := k.get(nil); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: k.get}, nil
}

// pairRetry is when files that could not be used are read again although they look the same:
// the right to read them may have been lacking.
const pairRetry = 10 * time.Second

// A keyPair follows its files.
type keyPair struct {
	certificate, key string
	log              *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	loaded  pairStamp // of the files that current was read from
	failed  pairStamp // of those that could not be used since
	retry   time.Time // when they are read again
}

// A pairStamp tells one content of both files from the next; a file that is not there has
// the zero value.
type pairStamp [2]struct {
	modified time.Time
	size     int64
}

// stamp looks at the files.
func (k *keyPair) stamp() (s pairStamp) {
	for i, path := range []string{k.certificate, k.key} {
		if info, err := os.Stat(path); err == nil {
			s[i].modified, s[i].size = info.ModTime(), info.Size()
		}
	}
	return s
}

// get returns the pair as it is now, or as it was if the files do not fit, which they
// may not while they are being replaced.
func (k *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	found := k.stamp()
	if k.current != nil && (found == k.loaded || found == k.failed && time.Now().Before(k.retry)) {
		return k.current, nil
	}
	pair, err := tls.LoadX509KeyPair(k.certificate, k.key)
	switch {
	case err == nil:
		k.current, k.loaded, k.failed = &pair, found, pairStamp{}
		return k.current, nil
	case k.current == nil:
		return nil, fmt.Errorf("certificate %s with key %s: %w", k.certificate, k.key, err)
	case found != k.failed:
		k.log.Error("the certificate was replaced by one that can't be used; the old one goes on until it expires, put the right files in their places",
			"certificate", k.certificate, "key", k.key, "error", err, "expires", k.current.Leaf.NotAfter)
	}
	k.failed, k.retry = found, time.Now().Add(pairRetry)
	return k.current, nil
}
