package picture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"os"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"
)

// Reasons why a picture was not read; test for them with [errors.Is].
var (
	// ErrFormat says that the bytes are no picture of a known kind, or of a
	// variant (a compression, a bit depth) that is not read.
	ErrFormat = errors.New("not a picture this program reads (PNG, JPEG, BMP, TIFF, WebP)")
	// ErrDamaged says that a picture is cut short or contradicts itself.
	ErrDamaged = errors.New("the picture is damaged or cut short; copy or export it again")
	// ErrTooLarge says that a picture has more pixels than the limit allows. It
	// is found before any pixel is decoded.
	ErrTooLarge = errors.New("the picture is too large")
)

// DefaultMaxPixels is the largest Width×Height that is decoded unless
// [WithMaxPixels] says otherwise.
const DefaultMaxPixels = 1 << 28

// MaxPixels is the largest Width×Height that [WithMaxPixels] can allow, so that pixels can
// be counted in 32 bits.
const MaxPixels = 1<<31 - 1

// Option changes how a picture is read.
type Option func(*options)

type options struct {
	maxPixels int64
	ctx       context.Context
}

// WithMaxPixels sets the largest Width×Height that is decoded, up to [MaxPixels]. Values
// below 1 leave [DefaultMaxPixels] in force.
func WithMaxPixels(n int64) Option {
	return func(o *options) {
		if n >= 1 {
			o.maxPixels = min(n, MaxPixels)
		}
	}
}

// WithContext ends the reading of a picture soon after ctx ends, with its cause for an
// error. Lossy WebP alone is decoded to its end once it was begun.
func WithContext(ctx context.Context) Option { return func(o *options) { o.ctx = ctx } }

// Decode reads a PNG, JPEG, BMP, TIFF or WebP picture; the kind is told from its
// first bytes. A TIFF of several pages yields the first one, and animated WebP is
// refused.
//
// Whatever is stored becomes 8-bit colour as by Pillow's convert("RGB"): grey is
// repeated three times, palettes are looked up, CMYK is converted, and alpha is
// dropped, not composited: the colour stored under transparent pixels appears.
// Colour profiles are ignored. Two things differ from Pillow on purpose: 16-bit
// grey keeps its upper 8 bits (Pillow cuts it off at 255), and the EXIF orientation
// of a JPEG is applied, so that pictures stand upright.
//
// Errors are [ErrFormat], [ErrDamaged], [ErrTooLarge], come from r, or are what ended the
// context of [WithContext].
func Decode(r io.Reader, opts ...Option) (*RGB, error) {
	s, err := decode(r, 0, opts)
	if err != nil {
		return nil, err
	}
	return s.rgb(), nil
}

// DecodeBytes is [Decode] for a picture that is in memory already.
func DecodeBytes(data []byte, opts ...Option) (*RGB, error) {
	s, err := decodeBytes(data, newOptions(opts))
	if err != nil {
		return nil, err
	}
	return s.rgb(), nil
}

// DecodeGray reads a picture like [Decode] and reduces it to one channel: grey is
// taken as it is, colour becomes its luma (0.299, 0.587, 0.114), as by Pillow's
// convert("L").
func DecodeGray(r io.Reader, opts ...Option) (*Gray, error) {
	s, err := decode(r, 0, opts)
	if err != nil {
		return nil, err
	}
	return s.gray(), nil
}

// Open reads the picture file at path as [Decode] does. Its errors name the file;
// those of the file system are [fs.PathError], and so is that for a folder, a pipe or
// a device.
func Open(path string, opts ...Option) (*RGB, error) {
	s, err := open(path, opts)
	if err != nil {
		return nil, err
	}
	return s.rgb(), nil
}

// OpenGray reads the picture file at path as [DecodeGray] does. Its errors are
// those of [Open].
func OpenGray(path string, opts ...Option) (*Gray, error) {
	s, err := open(path, opts)
	if err != nil {
		return nil, err
	}
	return s.gray(), nil
}

func open(path string, opts []Option) (decoded, error) {
	// Before it is opened, since opening a pipe waits for somebody to write to it.
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return decoded{}, err
	case info.IsDir():
		return decoded{}, &fs.PathError{Op: "read", Path: path, Err: errors.New("is a folder, not a picture")}
	case !info.Mode().IsRegular():
		return decoded{}, &fs.PathError{Op: "read", Path: path, Err: errors.New("is no ordinary file, so no picture")}
	}
	f, err := os.Open(path)
	if err != nil {
		return decoded{}, err
	}
	defer f.Close()
	s, err := decode(f, info.Size(), opts)
	if pathErr := (*fs.PathError)(nil); err != nil && !errors.As(err, &pathErr) {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return s, err
}

// decoded is a picture as its decoder left it, with what is needed to bring it
// into this package's form.
type decoded struct {
	img         image.Image
	video       bool // luma is 16…235 and chroma 16…240, as in WebP
	orientation int  // EXIF, 1…8
}

func (d decoded) rgb() *RGB {
	p := convert(d.img, d.video)
	p.Width, p.Height, p.Pix = orient(p.Width, p.Height, p.Pix, 3, d.orientation)
	return p
}

func (d decoded) gray() *Gray {
	g := convertGray(d.img, d.video)
	g.Width, g.Height, g.Pix = orient(g.Width, g.Height, g.Pix, 1, d.orientation)
	return g
}

// codec is one kind of picture.
type codec struct {
	name   string
	is     func(head []byte) bool
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
}

// sniffLen is how many bytes tell the kinds of pictures apart.
const sniffLen = 16

// sniff returns the codec of a picture that begins with head.
func sniff(head []byte) (codec, bool) {
	begins := func(magic string) func([]byte) bool {
		return func(h []byte) bool { return bytes.HasPrefix(h, []byte(magic)) }
	}
	for _, c := range []codec{
		{"PNG", begins("\x89PNG\r\n\x1a\n"), png.DecodeConfig, png.Decode},
		{"JPEG", begins("\xff\xd8\xff"), jpeg.DecodeConfig, jpeg.Decode},
		{"BMP", func(h []byte) bool {
			// Two letters also begin texts, so the reserved zeros count too.
			return len(h) >= 10 && string(h[:2]) == "BM" && string(h[6:10]) == "\x00\x00\x00\x00"
		}, bmp.DecodeConfig, bmp.Decode},
		{"TIFF", begins("II*\x00"), tiff.DecodeConfig, tiff.Decode},
		{"TIFF", begins("MM\x00*"), tiff.DecodeConfig, tiff.Decode},
		{"WebP", func(h []byte) bool {
			return len(h) >= 12 && string(h[:4]) == "RIFF" && string(h[8:12]) == "WEBP"
		}, webp.DecodeConfig, webp.Decode},
	} {
		if c.is(head) {
			return c, true
		}
	}
	return codec{}, false
}

// decode reads one picture from r, which is expected to hold about sizeHint
// bytes (0: unknown).
func decode(r io.Reader, sizeHint int64, opts []Option) (decoded, error) {
	o := newOptions(opts)
	var head [sniffLen]byte
	n, err := io.ReadFull(r, head[:])
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return decoded{}, err
	}
	if _, ok := sniff(head[:n]); n > 0 && !ok {
		return decoded{}, ErrFormat // whatever follows
	}
	data, err := readRest(head[:n], r, sizeHint, o.maxPixels)
	if err != nil {
		return decoded{}, err
	}
	return decodeBytes(data, o)
}

func newOptions(opts []Option) options {
	o := options{maxPixels: DefaultMaxPixels, ctx: context.Background()}
	for _, set := range opts {
		set(&o)
	}
	return o
}

func decodeBytes(data []byte, o options) (decoded, error) {
	if len(data) == 0 {
		return decoded{}, fmt.Errorf("%w: it is empty", ErrDamaged)
	}
	c, ok := sniff(data[:min(len(data), sniffLen)])
	if !ok {
		return decoded{}, ErrFormat
	}
	var config image.Config
	err := guard(c, func() (err error) {
		config, err = c.config(bytes.NewReader(data))
		return err
	})
	if err != nil {
		return decoded{}, err
	}
	if config.Width < 1 || config.Height < 1 {
		return decoded{}, fmt.Errorf("%w: %s of %d×%d pixels", ErrDamaged, c.name, config.Width, config.Height)
	}
	if int64(config.Width) > o.maxPixels/int64(config.Height) {
		return decoded{}, fmt.Errorf("%w: it claims %d×%d pixels, and at most %d are read; shrink it or raise the limit",
			ErrTooLarge, config.Width, config.Height, o.maxPixels)
	}

	d := decoded{video: c.name == "WebP", orientation: 1}
	err = guard(c, func() (err error) {
		d.img, err = c.decode(interruptible{o.ctx, bytes.NewReader(data)})
		return err
	})
	if o.ctx.Err() != nil {
		return decoded{}, context.Cause(o.ctx)
	}
	if err != nil {
		return decoded{}, err
	}
	if size := d.img.Bounds().Size(); size.X != config.Width || size.Y != config.Height {
		return decoded{}, fmt.Errorf("%w: %s of %d×%d pixels holds %d×%d",
			ErrDamaged, c.name, config.Width, config.Height, size.X, size.Y)
	}
	if c.name == "JPEG" {
		d.orientation = exifOrientation(data)
	}
	return d, nil
}

// An interruptible picture reads as if it failed once its context has ended.
type interruptible struct {
	ctx  context.Context
	data *bytes.Reader
}

func (i interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.data.Read(p)
}

// ReadAt spares the decoder of TIFF a copy of everything.
func (i interruptible) ReadAt(p []byte, at int64) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.data.ReadAt(p, at)
}

// readRest returns head and what follows it in r. No format needs more than
// 8 bytes a pixel (four channels of 16 bits) and some room for its tables and
// metadata, so a longer stream is refused before it fills the memory.
func readRest(head []byte, r io.Reader, sizeHint, maxPixels int64) ([]byte, error) {
	const metadata = 64 << 20
	limit := metadata + 8*maxPixels
	var buf bytes.Buffer
	if sizeHint > 0 && sizeHint <= limit {
		buf.Grow(int(sizeHint) + bytes.MinRead) // ReadFrom wants MinRead spare bytes to see the end
	}
	buf.Write(head)
	if _, err := buf.ReadFrom(io.LimitReader(r, limit+1-int64(len(head)))); err != nil {
		return nil, err
	}
	if int64(buf.Len()) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes; shrink it or raise the limit", ErrTooLarge, limit)
	}
	return buf.Bytes(), nil
}

// guard runs one step of a decoder and puts its error into our terms. Decoders
// read outside bytes and are not ours, so a panic in one counts as damage.
func guard(c codec, step func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %s: %v", ErrDamaged, c.name, r)
		}
	}()
	if err = step(); err == nil {
		return nil
	}
	var pngErr png.UnsupportedError
	var jpegErr jpeg.UnsupportedError
	var tiffErr tiff.UnsupportedError
	if errors.As(err, &pngErr) || errors.As(err, &jpegErr) || errors.As(err, &tiffErr) || errors.Is(err, bmp.ErrUnsupported) {
		return fmt.Errorf("%w: this variant of %s is not read; save it as an ordinary PNG: %v", ErrFormat, c.name, err)
	}
	return fmt.Errorf("%w: %s: %v", ErrDamaged, c.name, err)
}
