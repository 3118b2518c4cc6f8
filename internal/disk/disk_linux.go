package disk

import "golang.org/x/sys/unix"

// Free returns how many bytes the user can still write to the file system that
// holds a folder, and a number of that file system. It is false where the system
// does not tell.
func Free(folder string) (bytes int64, fileSystem uint64, ok bool) {
	var usage unix.Statfs_t
	var stat unix.Stat_t
	if unix.Statfs(folder, &usage) != nil || unix.Stat(folder, &stat) != nil ||
		usage.Blocks == 0 { // so answer file systems that count none, as some in user space
		return 0, 0, false
	}
	block := usage.Frsize // the unit of Bavail; file systems that predate it leave it 0
	if block == 0 {
		block = usage.Bsize
	}
	return bytesOf(usage.Bavail, uint64(block)), uint64(stat.Dev), true
}
