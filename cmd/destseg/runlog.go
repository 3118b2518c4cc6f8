package main

import (
	"image"
	"io"
	"path/filepath"
	"time"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/internal/tensorboard"
	"github.com/destseg/destseg/internal/wholefile"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/train"
)

// A runLog keeps what happens in a training, in a folder: curves and maps for
// TensorBoard, and run.json, by which it can be repeated. Without a folder it keeps
// nothing. What can't be kept does not stop the training.
type runLog struct {
	folder   string
	events   *tensorboard.Writer // nil without a folder
	document runDocument
	recipe   train.Recipe
	glimpses []train.Glimpse // seen at the last checkpoint, not yet written
	failed   error           // the first one
}

// A runDocument is run.json.
type runDocument struct {
	Note     string            `json:"note"`
	Program  string            `json:"program"` // its version
	Flags    map[string]string `json:"flags"`   // of destseg train, all of them
	Data     string            `json:"data"`
	Category string            `json:"category"`

	Pictures destseg.PicturesRecord `json:"pictures"`  // learned from
	HeldBack int                    `json:"held_back"` // for the thresholds
	Textures string                 `json:"textures"`  // digest, or "procedural"
	Teacher  destseg.TeacherRecord  `json:"teacher"`
	Recipe   train.Recipe           `json:"recipe"`

	Engine    string  `json:"engine"`
	Precision string  `json:"precision"` // asked for; the detector's record has the one in force
	Threads   int     `json:"threads"`   // asked for, 0 for all
	Machine   machine `json:"machine"`

	Started  time.Time  `json:"started"`
	Finished *time.Time `json:"finished"` // null while it runs, or if it ended early
	Seconds  float64    `json:"training_seconds"`
	LastLoss string     `json:"last_loss"`
	Detector string     `json:"detector"`
}

// newRunLog begins a log in a folder; none if it is empty. good are the pictures to
// learn from, which the document identifies.
func newRunLog(folder string, good []string, document runDocument) (*runLog, error) {
	l := &runLog{folder: folder, document: document, recipe: document.Recipe}
	if folder == "" {
		return l, nil
	}
	if err := outputFolder(folder); err != nil {
		return nil, err
	}
	var err error
	if l.document.Pictures, err = destseg.DigestPictures(good); err != nil {
		return nil, err
	}
	if l.events, err = tensorboard.Create(folder); err != nil {
		return nil, err
	}
	if err := l.write(); err != nil {
		l.events.Close()
		return nil, err
	}
	return l, nil
}

// write writes run.json as it stands.
func (l *runLog) write() error {
	return wholefile.Write(filepath.Join(l.folder, "run.json"), func(w io.Writer) error { return writeJSON(w, l.document) })
}

// keep remembers the first thing that could not be kept.
func (l *runLog) keep(err error) {
	if l.failed == nil {
		l.failed = err
	}
}

// look takes what the networks make of some samples.
func (l *runLog) look(glimpses []train.Glimpse) { l.glimpses = glimpses }

// progress adds a step to the curves.
func (l *runLog) progress(p train.Progress) {
	if l.events == nil {
		return
	}
	step := p.Step
	scalars := map[string]float64{"speed/pictures per second": p.Speed, "waiting/seconds": p.Waited.Seconds()}
	if p.Stage == 1 {
		scalars["loss/student"] = p.Cosine
		scalars["rate/student"] = p.Rate * l.recipe.StudentRate
	} else {
		step += l.recipe.StudentSteps
		scalars["loss/focal"], scalars["loss/L1"] = p.Focal, p.L1
		scalars["rate/res"], scalars["rate/head"] = p.Rate*l.recipe.ResRate, p.Rate*l.recipe.HeadRate
	}
	for tag, v := range scalars {
		l.keep(l.events.Scalar(step, tag, v))
	}
	if l.glimpses != nil {
		l.keep(l.events.Image(step, "maps", glimpseSheet(l.glimpses)))
		l.glimpses = nil
	}
}

// finish completes run.json and closes the log.
func (l *runLog) finish(seconds float64, loss string) {
	if l.events == nil {
		return
	}
	now := time.Now().UTC()
	l.document.Finished, l.document.Seconds, l.document.LastLoss = &now, seconds, loss
	l.keep(l.write())
	l.close()
}

// close closes the log as it stands. It may be called more than once.
func (l *runLog) close() {
	if l.events != nil {
		l.keep(l.events.Close())
		l.events = nil
	}
}

// glimpseSheet lays glimpses out, one in each row: the corrupted picture, its mask,
// the segmentation map from 0 to 1, and the DeST map from 0 to 0.1, above which hardly
// a good place comes.
func glimpseSheet(glimpses []train.Glimpse) image.Image {
	const gap, mostDeST = 4, 0.1
	width, height := network.MapStride*glimpses[0].Width/2, network.MapStride*glimpses[0].Height/2
	sheet := picture.NewRGB(4*(width+gap)-gap, len(glimpses)*(height+gap)-gap)
	for row, g := range glimpses {
		mask := picture.NewRGB(g.Mask.Width, g.Mask.Height)
		for i, v := range g.Mask.Pix {
			mask.Pix[3*i], mask.Pix[3*i+1], mask.Pix[3*i+2] = v, v, v
		}
		for column, p := range []*picture.RGB{
			g.Picture, mask,
			picture.Colorize(g.Segmentation, g.Width, g.Height, 0, 1), picture.Colorize(g.DeST, g.Width, g.Height, 0, mostDeST),
		} {
			p = p.Resize(width, height)
			for y := range height {
				to := sheet.Pix[3*((row*(height+gap)+y)*sheet.Width+column*(width+gap)):]
				copy(to[:3*width], p.Pix[3*y*width:])
			}
		}
	}
	return sheet.Image()
}
