package dataset

import (
	"fmt"
	"sync"

	"github.com/destseg/destseg/picture"
)

// Cache decodes and prepares pictures and keeps as many as fit into its limit, the
// first ones that came: training sees every picture equally often, so that throwing
// one out for another would gain nothing. It may be used concurrently.
type Cache struct {
	prepare func(*picture.RGB) *picture.RGB
	limit   int64

	mu      sync.Mutex
	entries map[string]*entry
	used    int64 // bytes of pixels that are kept
}

// entry is a picture that is kept or about to be decoded.
type entry struct {
	done    chan struct{} // closed when the rest is set
	picture *picture.RGB
	err     error
}

// NewCache returns a cache of pictures as prepare makes them from those in the files,
// such as [Resized], that keeps at most limit bytes of them; 0 keeps none. prepare may
// be called concurrently.
func NewCache(prepare func(*picture.RGB) *picture.RGB, limit int64) *Cache {
	return &Cache{prepare: prepare, limit: limit, entries: make(map[string]*entry)}
}

// Resized returns a function that resizes pictures by [picture.RGB.Resize]. It panics if
// the size is not positive.
func Resized(width, height int) func(*picture.RGB) *picture.RGB {
	if width < 1 || height < 1 {
		panic(fmt.Sprintf("dataset: pictures of %d×%d", width, height))
	}
	return func(p *picture.RGB) *picture.RGB {
		if p.Width == width && p.Height == height {
			return p
		}
		return p.Resize(width, height)
	}
}

// Get returns the picture in the file at path, decoded by [picture.Open] and
// prepared. Callers that ask for a file while it is being decoded
// wait for that and share the result. The picture belongs to the cache and must not
// be changed. Errors are those of [picture.Open]; they are not remembered.
func (c *Cache) Get(path string) (*picture.RGB, error) {
	c.mu.Lock()
	e, ok := c.entries[path]
	if ok {
		c.mu.Unlock()
		<-e.done
		return e.picture, e.err
	}
	e = &entry{done: make(chan struct{})}
	c.entries[path] = e
	c.mu.Unlock()

	e.picture, e.err = c.load(path)

	c.mu.Lock()
	if e.err == nil && c.used+int64(len(e.picture.Pix)) <= c.limit {
		c.used += int64(len(e.picture.Pix))
	} else {
		delete(c.entries, path)
	}
	c.mu.Unlock()
	close(e.done)
	return e.picture, e.err
}

func (c *Cache) load(path string) (*picture.RGB, error) {
	p, err := picture.Open(path)
	if err != nil {
		return nil, err
	}
	return c.prepare(p), nil
}
