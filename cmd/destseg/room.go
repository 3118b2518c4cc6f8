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
	checkpoint := train.CheckpointSize()
	if o.average > 0 {
		checkpoint *= 2 // or less: momentum has no average
	}
	return o.roomFor(checkpoint, 1+o.kept, detectorSize(), free)
}

// roomFor refuses a training if so many checkpoints and its output do not fit on the disk.
func (r resumption) roomFor(checkpoint int64, count int, output int64, free func(folder string) (bytes int64, fileSystem uint64, ok bool)) error {
	var there int64 // takes its room already
	if info, err := os.Stat(r.checkpoint); err == nil {
		there = info.Size()
	}
	type place struct {
		folder string
		bytes  int64
	}
	// Each file takes its name when it is complete, so a checkpoint needs room
	// beside the one before it, and the output beside the last one.
	checkpoints := int64(count) * checkpoint
	places := []place{{filepath.Dir(r.checkpoint), checkpoints + checkpoint - there}, {filepath.Dir(r.output), output}}
	_, first, _ := free(places[0].folder)
	if _, second, _ := free(places[1].folder); first == second {
		places = []place{{places[0].folder, checkpoints + max(checkpoint, output) - there}}
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
