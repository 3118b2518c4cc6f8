package serve

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"image"
	"image/png"
	"log/slog"
	"runtime/debug"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/internal/paint"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/region"
	"github.com/destseg/destseg/serve/api"
	"github.com/destseg/destseg/serve/host"
)

// A Recorder keeps what was inspected.
type Recorder interface {
	// Record returns when the inspection is safe; only then is it answered. It must
	// change none of what it is given, and keep nothing but copies of the picture.
	Record(ctx context.Context, in *api.Inspection, p *picture.RGB, result *destseg.Inspection) error
}

// A Service inspects pictures for whoever brings them: the HTTP interface and others
// share its queue, limits, metrics and history. It is safe for concurrent use.
type Service struct {
	host     *host.Host
	limits   Limits
	answers  *semaphore.Weighted // bytes, as limits.Answers says
	recorder Recorder            // nil: nothing is kept
	metrics  *metrics
	log      *slog.Logger
}

// A Request is a picture and what is asked about it.
type Request struct {
	Detector string
	// Data is an encoded picture, as [picture.Decode] reads it; or Picture is a decoded
	// one.
	Data    []byte
	Picture *picture.RGB
	// Source is what the client calls the picture, "" for nothing.
	Source string

	Overlay, Mask bool   // to be made
	Map           string // format of the map to be made, as [picture.MapFormat] calls it; "" for none

	ID      string        // of the inspection; "" gives it one
	Arrival time.Time     // when the picture was there, or began to arrive; the zero value is now
	Read    time.Duration // that receiving the picture took

	Recorder Recorder // of this picture, besides the service's; nil: none
}

// errDecodeTime ends the decoding of a picture that takes too long.
var errDecodeTime = errors.New("decoding the picture takes too long; shrink it or save it in another format")

// errRecord says that the recorder failed.
var errRecord = errors.New("the inspection could not be kept in the history")

// Inspect inspects a picture. Errors are those of [host.Host.Inspect] and
// [picture.Decode], or the recorder's; [ProblemOf] tells them to a client.
func (s *Service) Inspect(ctx context.Context, r Request) (*api.Inspection, error) {
	in, _, err := s.Examine(ctx, r)
	return in, err
}

// Examine is [Service.Inspect] for callers that want the maps themselves, in whatever size.
func (s *Service) Examine(ctx context.Context, r Request) (in *api.Inspection, result *destseg.Inspection, err error) {
	// Some callers are goroutines in which a fault would end the program.
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("inspecting made the program panic: %v\n%s", fault, debug.Stack())
		}
	}()
	now := time.Now()
	if r.Arrival.IsZero() {
		r.Arrival = now
	}
	if r.ID == "" {
		r.ID = rand.Text()
	}
	if err := s.host.Check(r.Detector); err != nil {
		return nil, nil, err
	}
	place, err := s.host.Enter()
	if err != nil {
		return nil, nil, err
	}
	defer place.Leave()
	ctx, cancel := context.WithTimeoutCause(ctx, s.limits.Answer, errAnswerTime)
	defer cancel()
	return s.inspect(ctx, place, r, now)
}

// errAnswerTime ends a request that was not answered in time.
var errAnswerTime = errors.New("the inspection did not come to its end in time; try again when there is less to do")

func (s *Service) inspect(ctx context.Context, place *host.Place, r Request, entered time.Time) (*api.Inspection, *destseg.Inspection, error) {
	if err := place.Begin(ctx); err != nil {
		return nil, nil, err
	}
	begun := time.Now()
	p := r.Picture
	if p == nil {
		var err error
		if p, err = s.decode(ctx, r.Data); err != nil {
			return nil, nil, err
		}
	}
	decoded := time.Now()
	result, err := place.Inspect(ctx, r.Detector, p)
	if err != nil {
		return nil, nil, err
	}
	inspected := time.Now()
	in := &api.Inspection{
		ID: r.ID, Time: r.Arrival.UTC(), Source: r.Source, Detector: result.Detector,
	}
	var mask *picture.Gray
	in.Judgement, mask = Judge(result.Inspection)
	found := time.Now()
	if err := s.room(ctx, answerSize(in, r)); err != nil {
		return nil, nil, err
	}
	if err := attach(in, r, p, result, mask); err != nil {
		return nil, nil, err
	}
	painted := time.Now()
	in.Timings = api.Timings{
		Read: milliseconds(r.Read), Decode: milliseconds(decoded.Sub(begun)), Load: milliseconds(result.Load),
		Queue: milliseconds(begun.Sub(entered) + result.Waited), Prepare: milliseconds(result.Prepare),
		Networks: milliseconds(result.Elapsed), Regions: milliseconds(found.Sub(inspected)), Paint: milliseconds(painted.Sub(found)),
		// Not from the arrival, or the times of a service that starts to watch a folder with
		// last night's pictures would tell of the night.
		Total: milliseconds(r.Read + painted.Sub(entered)),
	}
	for _, recorder := range []Recorder{s.recorder, r.Recorder} {
		if recorder == nil {
			continue
		}
		if err := recorder.Record(ctx, in, p, result.Inspection); err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx) // a database tells that the time is up, but not whose
			}
			return nil, nil, fmt.Errorf("%w: %w", errRecord, err)
		}
	}
	s.metrics.observe(in, time.Since(painted))
	s.log.Info("inspected", "id", in.ID, "detector", in.Detector.Name, "digest", in.Detector.Digest[:12], "source", in.Source,
		"verdict", in.Verdict, "score", in.Score, "regions", len(in.Regions), "width", in.Width, "height", in.Height,
		"milliseconds", in.Timings.Total)
	return in, result.Inspection, nil
}

// decode reads a picture within the limits.
func (s *Service) decode(ctx context.Context, data []byte) (*picture.RGB, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.limits.Decode, errDecodeTime)
	defer cancel()
	return picture.DecodeBytes(data, picture.WithMaxPixels(s.limits.Pixels), picture.WithContext(ctx))
}

// Judge puts an inspection into the words of the interface. It returns the mask of the
// regions too, 255 in them and 0 elsewhere.
func Judge(in *destseg.Inspection) (api.Judgement, *picture.Gray) {
	j := api.Judgement{
		Score: in.Score, Verdict: in.Verdict(), Width: in.Width, Height: in.Height, Peak: in.Peak(), Milliseconds: milliseconds(in.Elapsed),
	}
	if in.HasThreshold {
		j.Threshold, j.Margin = new(in.Threshold), new(in.Margin())
	}
	regions, mask := in.Regions()
	if in.HasThreshold {
		j.Regions = append([]region.Region{}, regions...) // [] and not null for none
	}
	return j, mask
}

// answerSize is how many bytes an answer takes at most with the pictures that were asked for:
// as they are, in base64, and once more in the JSON object.
func answerSize(in *api.Inspection, r Request) int64 {
	perPixel := int64(0)
	if r.Overlay {
		perPixel += 3
	}
	if r.Mask {
		perPixel++
	}
	if r.Map != "" {
		perPixel += 4
	}
	return 4 * perPixel * int64(in.Width) * int64(in.Height)
}

// attach makes the pictures that were asked for.
func attach(in *api.Inspection, r Request, p *picture.RGB, result *host.Result, mask *picture.Gray) error {
	if r.Overlay {
		in.Overlay = encodePNG(paint.Found(p, result.Inspection, mask).Image())
	}
	if r.Mask {
		in.Mask = encodePNG(mask.Image())
	}
	if r.Map == "" {
		return nil
	}
	format, err := picture.ParseMapFormat(r.Map)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	err = picture.EncodeMap(&b, result.Map(in.Width, in.Height), in.Width, in.Height, format)
	in.Map = b.Bytes()
	return err
}

// encodePNG compresses little, since somebody waits.
func encodePNG(img image.Image) []byte {
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := encoder.Encode(&b, img); err != nil {
		panic(err) // the size is positive and a buffer takes everything
	}
	return b.Bytes()
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
