package metric

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A Curve is drawn from point to point.
type Curve []Point

// maxCurve is the largest number of points of a curve that is read.
const maxCurve = 1 << 13

// ErrCurve is wrapped by the error for a text that is no curve.
var ErrCurve = errors.New("not a curve")

// MarshalText writes a curve as "x,y x,y …", to four decimals: enough for drawing, and a
// line of its own in JSON.
func (c Curve) MarshalText() ([]byte, error) {
	var text []byte
	number := func(v float64) {
		// As short as can be: 0.5 and not 0.5000.
		rounded, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'f', 4, 64), 64)
		text = strconv.AppendFloat(text, rounded, 'f', -1, 64)
	}
	for i, p := range c {
		if i > 0 {
			text = append(text, ' ')
		}
		number(p.X)
		text = append(text, ',')
		number(p.Y)
	}
	return text, nil
}

// UnmarshalText reads what MarshalText writes. The error wraps [ErrCurve].
func (c *Curve) UnmarshalText(text []byte) error {
	var read Curve
	for word := range strings.FieldsSeq(string(text)) {
		if len(read) == maxCurve {
			return fmt.Errorf("%w: more than %d points", ErrCurve, maxCurve)
		}
		x, y, _ := strings.Cut(word, ",")
		var p Point
		for _, coordinate := range []struct {
			text string
			to   *float64
		}{{x, &p.X}, {y, &p.Y}} {
			v, err := strconv.ParseFloat(coordinate.text, 64)
			if err != nil || !(v >= 0 && v <= 1) { // negated, so that NaN fails
				return fmt.Errorf("%w: a point at %.40q; both numbers are from 0 to 1", ErrCurve, word)
			}
			*coordinate.to = v
		}
		read = append(read, p)
	}
	*c = read
	return nil
}
