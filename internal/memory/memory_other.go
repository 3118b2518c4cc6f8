//go:build !linux && !darwin

package memory

// Peak returns the most physical memory that the process has held so far,
// in bytes, or 0 where the system does not tell.
func Peak() int64 { return 0 }

func resetPeak() bool { return false }
