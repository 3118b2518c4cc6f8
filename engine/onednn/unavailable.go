//go:build !cgo

package onednn

import (
	"fmt"

	"github.com/destseg/destseg/engine"
)

// New reports that this build has no oneDNN engine.
func New() (engine.Engine, error) {
	return nil, fmt.Errorf("oneDNN: %w: this program was built without cgo; install a C compiler and libdnnl-dev and build with CGO_ENABLED=1", engine.ErrUnavailable)
}
