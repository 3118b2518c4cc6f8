package memory

import (
	"bufio"
	"fmt"
	"os"
)

// Peak returns the most physical memory that the process has held since it, or
// the measurement by [StartPeak], began, in bytes, or 0 where the system does
// not tell.
func Peak() int64 {
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

// resetPeak sets VmHWM back, see proc_pid_clear_refs(5).
func resetPeak() bool { return os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) == nil }
