//go:build cgo

package onednn

import "github.com/destseg/destseg/engine"

// HasAMX reports whether bf16 is computed by AMX, and never by tiles.
func HasAMX() bool { return hasAMX() }

// NewTiled returns an engine that computes by tiles whatever it can, in the smallest chunks,
// and in bf16 by those of side×side unless that is 0.
func NewTiled(side int) engine.Engine { return dnn{tiling{always: true, side: side}} }
