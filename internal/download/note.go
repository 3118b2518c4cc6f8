package download

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/destseg/destseg/internal/wholefile"
)

// A note says which version of a file the bytes of a partial one belong to.
type note struct {
	URL     string `json:"url"`
	Version string `json:"version"` // for If-Range; empty: the server names none
}

func notePath(path string) string { return path + ".json" }

// noteOf reads the head of a response from a URL. A weak ETag does not promise the same bytes
// (RFC 9110, section 8.8.1).
func noteOf(url string, h http.Header) note {
	version := h.Get("ETag")
	if version == "" || strings.HasPrefix(version, "W/") {
		version = h.Get("Last-Modified")
	}
	return note{url, version}
}

// readNote returns an empty note where there is none that can be read: the digest
// tells in the end.
func readNote(path string) note {
	const longest = 16 << 10
	file, err := os.Open(path)
	if err != nil {
		return note{}
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, longest))
	if err != nil {
		return note{}
	}
	return parseNote(text)
}

func parseNote(text []byte) note {
	var n note
	if json.Unmarshal(text, &n) != nil || strings.ContainsAny(n.Version, "\r\n\x00") {
		return note{}
	}
	return n
}

func writeNote(path string, n note) error {
	return wholefile.Write(path, func(w io.Writer) error { return json.NewEncoder(w).Encode(n) })
}
