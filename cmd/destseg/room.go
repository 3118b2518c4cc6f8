package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/train"
)

// checkRoom refuses a training whose checkpoint and detector do not fit on the
// disk, as far as free, which is disk.Free, tells.
func (o trainOptions) checkRoom(free func(folder string) (bytes int64, fileSystem uint64, ok bool)) error {
	// Each file takes its name when it is complete, so a checkpoint needs room
	// beside the one before it, and the detector beside the last one.
	checkpoint, detector := train.CheckpointSize(), detectorSize()
	var there int64 // takes its room already
	if info, err := os.Stat(o.checkpoint); err == nil {
		there = info.Size()
	}
	if o.average > 0 {
		checkpoint *= 2 // or less: momentum has no average
	}
	type place struct {
		folder string
		bytes  int64
	}
	earlier := int64(o.kept) * checkpoint
	places := []place{{filepath.Dir(o.checkpoint), earlier + 2*checkpoint - there}, {filepath.Dir(o.output), detector}}
	_, first, _ := free(places[0].folder)
	if _, second, _ := free(places[1].folder); first == second {
		places = []place{{places[0].folder, earlier + checkpoint + max(checkpoint, detector) - there}}
	}
	for _, p := range places {
		if left, _, ok := free(p.folder); ok && left < p.bytes {
			return fmt.Errorf("%s: the disk has %s left, and the training needs %s there; make room, or name files elsewhere with --output and --checkpoint",
				p.folder, formatBytes(left), formatBytes(p.bytes))
		}
	}
	return nil
}

// detectorSize is about how many bytes a detector's file takes.
func detectorSize() int64 {
	var elements int64
	for _, t := range network.Tensors() {
		elements += int64(t.Shape.Size())
	}
	return 4 * elements // float32
}
