package dataset

import (
	"fmt"
	"sync"

	"github.com/destseg/destseg/picture"
)

// Cache decodes pictures at one size and keeps as many as fit into its limit, the
// first ones that came: training sees every picture equally often, so that throwing
// one out for another would gain nothing. It may be used concurrently.
type Cache struct {
	width, height int
	limit         int64

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

// NewCache returns a cache of pictures of width×height pixels that keeps at most
// limit bytes of them; 0 keeps none. It panics if the size is not positive.
func NewCache(width, height int, limit int64) *Cache {
	if width < 1 || height < 1 {
		panic(fmt.Sprintf("dataset: a cache of %d×%d pictures", width, height))
	}
	return &Cache{width: width, height: height, limit: limit, entries: make(map[string]*entry)}
}

// Get returns the picture in the file at path, decoded by [picture.Open] and resized
// by [picture.RGB.Resize]. Callers that ask for a file while it is being decoded
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
	size := int64(c.width) * int64(c.height) * 3
	if e.err == nil && c.used+size <= c.limit {
		c.used += size
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
	if p.Width == c.width && p.Height == c.height {
		return p, nil
	}
	return p.Resize(c.width, c.height), nil
}
