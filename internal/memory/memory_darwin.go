package memory

import "syscall"

// Peak returns the most physical memory that the process has held so far,
// in bytes, or 0 where the system does not tell.
func Peak() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return usage.Maxrss // bytes on this system
}

func resetPeak() bool { return false }
