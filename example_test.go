package destseg_test

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/dataset"
	"github.com/destseg/destseg/engine/plain"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/teacher"
	"github.com/destseg/destseg/train"
)

// untrained writes a detector that has learned nothing yet, so that the examples
// need no files.
func untrained(path string) error {
	random := rand.New(rand.NewPCG(1, 2))
	values := map[string][]float32{}
	for _, t := range network.Tensors() {
		values[t.Name] = t.Initial(random)
	}
	return destseg.Save(path, destseg.Record{
		Category:      "example",
		Preprocessing: destseg.StandardPreprocessing(64, 64),
		Threshold:     &destseg.Threshold{Image: 0.9, Pixel: 0.9, Source: "chosen by hand"},
	}, values)
}

// A detector is opened once and inspects any number of pictures of any size.
func Example() {
	dir, err := os.MkdirTemp("", "destseg")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "example.safetensors")
	if err := untrained(path); err != nil {
		log.Fatal(err)
	}

	// Leave WithEngine out for the fastest engine of the build.
	d, err := destseg.Open(path, destseg.WithEngine(plain.New()))
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()

	img := image.NewGray(image.Rect(0, 0, 120, 80))
	img.Set(60, 40, color.White)
	inspection, err := d.Inspect(img)
	if err != nil {
		log.Fatal(err)
	}
	heat := inspection.Map(inspection.Width, inspection.Height)

	fmt.Println("category:", d.Record().Category)
	fmt.Println("computed in", d.Precision(), "by", d.EngineName())
	fmt.Printf("a map of %d×%d, %d values\n", inspection.Width, inspection.Height, len(heat))
	fmt.Println("score in [0,1]:", inspection.Score >= 0 && inspection.Score <= 1)
	fmt.Println("anomalous:", inspection.Anomalous)
	// Output:
	// category: example
	// computed in fp32 by plain
	// a map of 120×80, 9600 values
	// score in [0,1]: true
	// anomalous: false
}

// A detector is trained on a folder of good pictures, which takes an hour or so with
// the steps below, and saved.
func ExampleNew() {
	ctx := context.Background()
	set, err := dataset.Open("parts/good")
	if err != nil {
		log.Fatal(err)
	}
	var good []string
	for _, sample := range set.Train {
		good = append(good, sample.Path)
	}
	good, held, err := destseg.Holdout(ctx, good, len(good)/10, 1)
	if err != nil {
		log.Fatal(err)
	}
	e, err := destseg.NewEngine("auto")
	if err != nil {
		log.Fatal(err)
	}
	t, err := teacher.Load(teacher.Builtin)
	if err != nil {
		log.Fatal(err)
	}
	recipe := train.Published(set.Category)
	recipe.StudentSteps, recipe.SegmentationSteps = 200, 400

	// Run again after an interruption, it goes on from the checkpoint.
	result, err := train.Run(ctx, train.Config{
		Engine: e, Recipe: recipe, Teacher: t.Weights, Good: good, Checkpoint: "parts.checkpoint",
		Progress: func(p train.Progress) {
			fmt.Println("stage", p.Stage, "step", p.Step, "of", p.Steps, p.Remaining, "left")
		},
	})
	if err != nil {
		log.Fatal(err)
	}

	record := destseg.Record{
		Category:      set.Category,
		Preprocessing: destseg.StandardPreprocessing(recipe.Width, recipe.Height),
		Recipe:        recipe,
		Teacher:       destseg.TeacherRecord{Name: t.Name, Digest: t.Digest},
		Pictures:      destseg.PicturesRecord{Count: len(good), Digest: result.Pictures},
		Textures:      "procedural",
		Engine:        e.Name(),
		Seconds:       result.Elapsed.Seconds(),
	}
	d, err := destseg.New(record, result.Weights, destseg.WithEngine(e))
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	record.Precision = d.Precision().String()
	threshold, _, err := destseg.Calibrate(ctx, d, destseg.CalibrationPictures{Good: held}, destseg.MaxFalseAlarms, 0.01, nil)
	if err != nil {
		log.Fatal(err)
	}
	record.Threshold = &threshold
	if err := destseg.Save("parts.safetensors", record, result.Weights); err != nil {
		log.Fatal(err)
	}
}

// Two detectors are compared on the same test pictures.
func ExampleCompare() {
	set, err := dataset.Open("mvtec_ad/bottle")
	if err != nil {
		log.Fatal(err)
	}
	var detectors [2]*destseg.Detector
	for i, path := range []string{"old.safetensors", "new.safetensors"} {
		if detectors[i], err = destseg.Open(path); err != nil {
			log.Fatal(err)
		}
		defer detectors[i].Close()
	}
	c, err := destseg.Compare(context.Background(), detectors[0], detectors[1], set, destseg.CompareOptions{})
	if err != nil {
		log.Fatal(err)
	}
	for _, d := range c.Segmentation {
		if d.BeyondChance() {
			fmt.Printf("%s: %+.4f, between %+.4f and %+.4f\n", d.Name, *d.Difference, *d.Low, *d.High)
		}
	}
}

// The threshold of a detector's file is changed without touching its weights.
func ExampleUpdate() {
	err := destseg.Update("screw.safetensors", func(r *destseg.Record) error {
		r.Threshold = &destseg.Threshold{Image: 0.41, Pixel: 0.5, Source: "one false alarm in 200 good pictures of May"}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
}
