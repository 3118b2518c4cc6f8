package pretrain

import (
	"math"
	"math/rand/v2"

	"github.com/destseg/destseg/picture"
)

// A cropper makes what the network sees of a picture.
type cropper struct {
	size      int
	recipe    Recipe
	mean, std [3]float32
}

func newCropper(size int, r Recipe) cropper {
	mean, std := picture.ImageNet()
	return cropper{size, r, mean, std}
}

// random writes a random crop, mirrored or not, its colours changed, normalised
// to dst, three planes of size×size (the augmentation of Szegedy et al., Going
// deeper with convolutions, 2014, section 6, with the bounds of torchvision's
// RandomResizedCrop for the aspect, 3/4 to 4/3).
func (c cropper) random(dst []float32, p *picture.RGB, rng *rand.Rand) {
	x, y, width, height := randomCrop(p.Width, p.Height, c.recipe.MinArea, rng)
	crop := p.Crop(x, y, width, height).Resize(c.size, c.size)
	change := c.change(crop, rng)
	mirrored := rng.IntN(2) == 1
	pixels := c.size * c.size
	for y := range c.size {
		for x := range c.size {
			q := crop.Pix[3*(y*c.size+x):][:3]
			to := y*c.size + x
			if mirrored {
				to = y*c.size + c.size - 1 - x
			}
			r, g, b := change.apply(float32(q[0]), float32(q[1]), float32(q[2]))
			dst[to] = (r/255 - c.mean[0]) / c.std[0]
			dst[pixels+to] = (g/255 - c.mean[1]) / c.std[1]
			dst[2*pixels+to] = (b/255 - c.mean[2]) / c.std[2]
		}
	}
}

// whole writes the middle of a picture, as large a square as it holds, to dst.
func (c cropper) whole(dst []float32, p *picture.RGB) {
	short := min(p.Width, p.Height)
	p.Crop((p.Width-short)/2, (p.Height-short)/2, short, short).Resize(c.size, c.size).Normalize(dst, c.mean, c.std)
}

// randomCrop draws a rectangle within width×height.
func randomCrop(width, height int, minArea float64, rng *rand.Rand) (x, y, w, h int) {
	const tries, aspect = 10, 4.0 / 3
	for range tries {
		area := float64(width*height) * (minArea + (1-minArea)*rng.Float64())
		ratio := math.Pow(aspect, 2*rng.Float64()-1)
		w, h = int(math.Round(math.Sqrt(area*ratio))), int(math.Round(math.Sqrt(area/ratio)))
		if w >= 1 && h >= 1 && w <= width && h <= height {
			return rng.IntN(width - w + 1), rng.IntN(height - h + 1), w, h
		}
	}
	w = min(width, max(1, int(float64(height)*aspect)))
	h = min(height, max(1, int(float64(width)*aspect)))
	return (width - w) / 2, (height - h) / 2, w, h
}

// A colourChange scales the distance of a colour from its own grey by saturation,
// and then that from the picture's mean grey by contrast, all of it times
// brightness.
type colourChange struct{ brightness, contrast, saturation, mean float32 }

func (c cropper) change(p *picture.RGB, rng *rand.Rand) colourChange {
	factor := func() float32 { return float32(1 + c.recipe.Colour*(2*rng.Float64()-1)) }
	change := colourChange{brightness: factor(), contrast: factor(), saturation: factor()}
	if rng.Float64() < c.recipe.Grey {
		change.saturation = 0
	}
	var sum [3]int
	for i := 0; i < len(p.Pix); i += 3 {
		sum[0] += int(p.Pix[i])
		sum[1] += int(p.Pix[i+1])
		sum[2] += int(p.Pix[i+2])
	}
	n := float32(len(p.Pix) / 3)
	change.mean = grey(float32(sum[0])/n, float32(sum[1])/n, float32(sum[2])/n)
	return change
}

// grey is the luma of ITU-R 601, as by Pillow's convert("L").
func grey(r, g, b float32) float32 { return 0.299*r + 0.587*g + 0.114*b }

func (c colourChange) apply(r, g, b float32) (float32, float32, float32) {
	own := grey(r, g, b)
	change := func(v float32) float32 {
		v = own + c.saturation*(v-own)
		v = c.mean + c.contrast*(v-c.mean)
		return min(max(c.brightness*v, 0), 255)
	}
	return change(r), change(g), change(b)
}
