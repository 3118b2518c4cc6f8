//go:build cgo

package onednn

import "github.com/destseg/destseg/engine"

// HasAMX reports whether bf16 is computed by AMX, and never by tiles.
func HasAMX() bool { return hasAMX() }

// NewTiled returns an engine that computes by tiles whatever it can, in the smallest chunks.
func NewTiled() engine.Engine { return dnn{tiling{always: true}} }
