package main

import (
	"bufio"
	"fmt"
	"os"
)

// peakMemory returns the most physical memory that the process has held so far,
// in bytes, or 0 where the system does not tell.
func peakMemory() int64 {
	// getrusage would count what the program that started this one held.
	status, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer status.Close()
	for lines := bufio.NewScanner(status); lines.Scan(); {
		var kilobytes int64
		if _, err := fmt.Sscanf(lines.Text(), "VmHWM: %d kB", &kilobytes); err == nil {
			return kilobytes << 10
		}
	}
	return 0
}
