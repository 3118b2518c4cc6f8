//go:build cgo

package onednn

import "github.com/destseg/destseg/engine"

// NewTiled returns an engine that computes by tiles whatever it can.
func NewTiled() engine.Engine { return dnn{tiled: true} }
