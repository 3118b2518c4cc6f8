//go:build !linux && !darwin

package disk

// Free returns how many bytes the user can still write to the file system that
// holds a folder, and a number of that file system. It is false where the system
// does not tell.
func Free(folder string) (bytes int64, fileSystem uint64, ok bool) { return 0, 0, false }
