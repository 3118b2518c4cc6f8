package serve

import (
	"bufio"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// A Right is what a token allows. A greater one includes the lesser ones.
type Right int

const (
	// Anyone needs no token.
	Anyone Right = iota
	// Read is to inspect pictures and see results.
	Read
	// Admin is to change what the service does or keeps as well.
	Admin
)

var rightNames = [...]string{"anyone", "read", "admin"}

// String returns "anyone", "read" or "admin".
func (r Right) String() string { return rightNames[r] }

// minToken is the least length of a token, so that none can be guessed.
const minToken = 16

// Tokens tell what a request may do. The zero value knows no token.
type Tokens struct {
	known []token
}

// A token is kept as its digest: all have one length then, and a comparison takes the
// same time whatever differs.
type token struct {
	digest [sha256.Size]byte
	right  Right
}

// Add gives a right to whoever bears a token of at least 16 printable ASCII characters
// without spaces.
func (t *Tokens) Add(right Right, text string) error {
	if len(text) < minToken {
		return fmt.Errorf("a token of %d characters; it takes %d, as from: openssl rand -hex 16", len(text), minToken)
	}
	for _, c := range []byte(text) {
		if c <= ' ' || c > '~' {
			return errors.New("a token with spaces or other than ASCII characters")
		}
	}
	t.known = append(t.known, token{sha256.Sum256([]byte(text)), right})
	return nil
}

// ReadFile adds the tokens of a file: a right, "read" or "admin", and a token in each
// line; empty lines and those that begin with # are passed over. Errors name the file
// and the line, and never a token.
func (t *Tokens) ReadFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := t.read(f); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func (t *Tokens) read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	count := 0
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, text, _ := strings.Cut(line, " ")
		right := Anyone
		switch name {
		case "read":
			right = Read
		case "admin":
			right = Admin
		default:
			return fmt.Errorf("line %d: expected read or admin, a space and a token", n)
		}
		if err := t.Add(right, strings.TrimSpace(text)); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		count++
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if count == 0 {
		return errors.New("no tokens; write a line such as: read 0123456789abcdef")
	}
	return nil
}

// Empty reports whether there are no tokens.
func (t *Tokens) Empty() bool { return len(t.known) == 0 }

// right returns what a token allows, in a time that does not tell how near it is to a
// known one.
func (t *Tokens) right(text string) Right {
	digest := sha256.Sum256([]byte(text))
	granted := 0
	for _, known := range t.known {
		same := subtle.ConstantTimeCompare(digest[:], known.digest[:])
		granted = subtle.ConstantTimeSelect(same, max(granted, int(known.right)), granted)
	}
	return Right(granted)
}

// borne returns the token that a request bears: that of RFC 6750, or the password of
// RFC 7617 with any name, which a browser asks for.
func borne(r *http.Request) (string, bool) {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(text), true
	}
	_, password, ok := r.BasicAuth()
	return password, ok
}

// authorize reports why a request lacks a right; nil: it has it. Without tokens everyone
// has every right.
func (t *Tokens) authorize(r *http.Request, needed Right) *problem {
	if needed == Anyone || t.Empty() {
		return nil
	}
	text, ok := borne(r)
	if !ok {
		return plainProblem(http.StatusUnauthorized, "a token is needed; send it as Authorization: Bearer TOKEN")
	}
	switch granted := t.right(text); {
	case granted == Anyone:
		return plainProblem(http.StatusUnauthorized, "the token is not known")
	case granted < needed:
		return plainProblem(http.StatusForbidden, fmt.Sprintf("the token allows %v only, and this takes %v", granted, needed))
	}
	return nil
}
