package synth

import "slices"

// Paths lists the files that textures are taken from, in the order that draws go
// by.
func (f *Folder) Paths() []string { return slices.Clone(f.paths) }
