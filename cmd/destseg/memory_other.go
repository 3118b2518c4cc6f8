//go:build !linux && !darwin

package main

// peakMemory returns the most physical memory that the process has held so far,
// in bytes, or 0 where the system does not tell.
func peakMemory() int64 { return 0 }
