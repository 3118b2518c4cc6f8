package watch

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A Webhook is a URL that is told of results, after the specification Standard Webhooks,
// version 1 (standardwebhooks.com), for which there are libraries in most languages.
//
// Each result is a POST with a JSON body, {"type", "timestamp", "data"}: data is a [Result],
// type "picture.inspected" or "picture.failed". These headers come with it:
//
//   - webhook-id names the event. It is the same whenever the event is sent again, so that
//     a receiver knows what it has had already.
//   - webhook-timestamp is the time of sending, in seconds since 1970. A receiver refuses
//     what is older than some minutes.
//   - webhook-signature is "v1," and, in base64, the HMAC-SHA256 with the secret of
//     id.timestamp.body. It is absent without a secret.
//
// Status 200 to 299 acknowledges an event. Anything else, or nothing in 15 seconds, has it
// sent again, after a time that doubles up to 5 minutes, or as Retry-After says.
// Redirects are not followed. Events may come in any order.
type Webhook struct {
	URL    string
	Secret []byte        // of [ParseSecret]; nil: events are not signed
	GiveUp time.Duration // after which an event goes to the folder dead of the state; 0: 3 days

	// Client sends; nil is one that heeds the proxies of the environment. Its time-out and
	// treatment of redirects are not used.
	Client *http.Client

	first, longest time.Duration // between tries; 0: 1 s and 5 min
}

const (
	webhookTimeout = 15 * time.Second
	minSecret      = 16 // bytes
)

// ParseSecret reads the secret of a webhook: "whsec_" and base64, as Standard Webhooks has
// it, or any other text, as it is. Space around it does not count. It has at least 16
// bytes.
func ParseSecret(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	secret := []byte(text)
	if encoded, ok := strings.CutPrefix(text, "whsec_"); ok {
		var err error
		if secret, err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return nil, errors.New("what follows whsec_ in the webhook's secret is no base64")
		}
	}
	if len(secret) < minSecret {
		return nil, fmt.Errorf("a secret of %d bytes is too easily guessed; give at least %d", len(secret), minSecret)
	}
	return secret, nil
}

// Check says what is wrong with the URL, if anything.
func (h *Webhook) Check() error {
	u, err := url.Parse(h.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errors.New("the webhook's URL begins with http:// or https:// and a host")
	}
	return nil
}

// sign returns the signature of an event that is sent at a time.
func (h *Webhook) sign(id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, h.Secret)
	fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// An answer says that an event was not acknowledged.
type answer struct {
	status int           // 0: none came
	after  time.Duration // that the receiver asks to wait; 0: nothing
	err    error
}

func (a *answer) Error() string {
	if a.err != nil {
		return a.err.Error()
	}
	return "status " + strconv.Itoa(a.status)
}

// rejected reports whether the receiver is well and does not want this event, at least
// not now; otherwise it would not take others either.
func (a *answer) rejected() bool {
	return a.status >= 300 && a.status < 500 && a.status != http.StatusTooManyRequests && a.status != http.StatusRequestTimeout
}

// post sends an event once; an error is an [answer].
func (h *Webhook) post(ctx context.Context, client *http.Client, id string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, webhookTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return &answer{err: err}
	}
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "destseg")
	request.Header.Set("webhook-id", id)
	request.Header.Set("webhook-timestamp", timestamp)
	if h.Secret != nil {
		request.Header.Set("webhook-signature", h.sign(id, timestamp, body))
	}
	response, err := client.Do(request)
	if err != nil {
		// Without the URL, which may hold a password.
		if e := (*url.Error)(nil); errors.As(err, &e) {
			err = e.Err
		}
		return &answer{err: err}
	}
	defer response.Body.Close()
	io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // so that the connection serves again
	if response.StatusCode >= 200 && response.StatusCode < 300 {
		return nil
	}
	return &answer{status: response.StatusCode, after: retryAfter(response.Header.Get("Retry-After"), time.Now())}
}

// retryAfter reads a header of RFC 9110, section 10.2.3; 0 is none that makes sense.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(value); err == nil {
		return time.Duration(max(0, min(seconds, 24*60*60))) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, min(at.Sub(now), 24*time.Hour))
	}
	return 0
}
