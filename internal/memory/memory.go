// Package memory tells how much physical memory the process has taken.
package memory

import "runtime/debug"

// StartPeak gives unused memory back to the system and starts the measurement
// of [Peak] anew. It reports whether the system can do the latter.
func StartPeak() bool {
	debug.FreeOSMemory()
	return resetPeak()
}
