package destseg

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/picture"
)

// TestBatch checks that pictures which go through the networks together get the very
// results that each gets alone, in the precisions at hand and in tiles too.
func TestBatch(t *testing.T) {
	stretched, tiled := testRecord(96, 64), testRecord(32, 32)
	tiled.Preprocessing.Fit, tiled.Preprocessing.Tile, tiled.Preprocessing.Overlap = picture.Tiles, 32, 8
	precisions := []engine.Precision{engine.Float32, engine.BFloat16}
	records := map[string]Record{"stretched": stretched, "tiled": tiled}
	if testing.Short() {
		precisions, records = precisions[:1], map[string]Record{"stretched": testRecord(32, 32)}
	}
	for _, precision := range precisions {
		for name, r := range records {
			t.Run(fmt.Sprint(precision, " ", name), func(t *testing.T) {
				alone, err := New(r, drawn(), WithPrecision(precision))
				if errors.Is(err, engine.ErrUnsupported) {
					t.Skip(err)
				}
				if err != nil {
					t.Fatal(err)
				}
				defer alone.Close()
				var lock countingLock
				together, err := New(r, drawn(), WithPrecision(precision), WithBatch(3, time.Minute), WithLock(&lock))
				if err != nil {
					t.Fatal(err)
				}
				defer together.Close()
				if together.Memory() <= alone.Memory() || alone.Memory() <= 0 {
					t.Errorf("%d bytes for 3 pictures, %d for one", together.Memory(), alone.Memory())
				}

				// In tiles each picture makes 12 windows, which is 4 batches.
				sizes := [][2]int{{96, 64}, {101, 67}, {90, 63}}
				var all sync.WaitGroup
				for i, size := range sizes {
					all.Go(func() {
						p := noise(uint64(i), size[0], size[1])
						got, err := together.InspectRGB(p)
						if err != nil {
							t.Error(err)
							return
						}
						want, err := alone.InspectRGB(p)
						if err != nil {
							t.Error(err)
							return
						}
						if got.Score != want.Score || !slices.Equal(got.segmentation.values, want.segmentation.values) || !slices.Equal(got.dest.values, want.dest.values) {
							t.Errorf("picture %d: score %v together with others, %v alone", i, got.Score, want.Score)
						}
					})
				}
				all.Wait()
				runs := int64(1)
				if name == "tiled" {
					runs = 0
					for _, size := range sizes {
						runs += int64(len(windows(size[0], 32, 8)) * len(windows(size[1], 32, 8)) / 3)
					}
				}
				if got := lock.count.Load(); got != runs {
					t.Errorf("%d runs, want %d", got, runs)
				}
			})
		}
	}
}

// TestBatchPatience checks that a picture without company waits no longer than it must,
// and that Close turns away what waits.
func TestBatchPatience(t *testing.T) {
	d, err := New(testRecord(32, 32), drawn(), WithPrecision(engine.Float32), WithBatch(2, 50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if _, err := d.InspectRGB(noise(1, 32, 32)); err != nil {
		t.Fatal(err)
	}
	if waited := time.Since(start); waited < 50*time.Millisecond {
		t.Errorf("went alone after %v, although there was time to wait for another", waited)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}

	d, err = New(testRecord(32, 32), drawn(), WithPrecision(engine.Float32), WithBatch(2, time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	refused := make(chan error)
	go func() {
		_, err := d.InspectRGB(noise(1, 32, 32))
		refused <- err
	}()
	for waiting := 0; waiting == 0; {
		d.runner.mu.Lock()
		waiting = len(d.runner.waiting)
		d.runner.mu.Unlock()
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err := <-refused; !errors.Is(err, ErrClosed) {
		t.Errorf("error %v, want ErrClosed", err)
	}
	if err := d.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

// A countingLock counts how often it was taken.
type countingLock struct {
	sync.Mutex
	count atomic.Int64
}

func (l *countingLock) Lock() {
	l.Mutex.Lock()
	l.count.Add(1)
}
