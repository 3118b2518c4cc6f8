package disk

import "golang.org/x/sys/unix"

// Free returns how many bytes the user can still write to the file system that
// holds a folder, and a number of that file system. It is false where the system
// does not tell.
func Free(folder string) (bytes int64, fileSystem uint64, ok bool) {
	var usage unix.Statfs_t
	var stat unix.Stat_t
	if unix.Statfs(folder, &usage) != nil || unix.Stat(folder, &stat) != nil {
		return 0, 0, false
	}
	return int64(usage.Bavail) * int64(usage.Bsize), uint64(stat.Dev), true
}
