package look

import (
	"encoding/xml"
	"html/template"
	"strings"
	"testing"

	"github.com/destseg/destseg/metric"
)

func TestPlotsAreXML(t *testing.T) {
	points := []metric.Point{{X: 0, Y: 0}, {X: 0.5, Y: 1}, {X: 1, Y: 1}}
	plots := map[string]struct {
		draw    func() (template.HTML, error)
		colours []string
	}{
		"ROC": {func() (template.HTML, error) { return ROC(`a "b"`, points, points, &points[1]) }, []string{"--first", "--second"}},
		"PR":  {func() (template.HTML, error) { return PR("image", points, points, nil) }, []string{"--first", "--second"}},
		"scores": {func() (template.HTML, error) {
			return Scores("scores", nil, Group{GoodColour, []float64{0.1, 0.2}, 2}, Group{DefectiveColour, []float64{0.9}, 1})
		}, []string{"--good-bar", "--defective-bar"}},
	}
	for name, plot := range plots {
		drawn, err := plot.draw()
		if err != nil {
			t.Fatal(err)
		}
		if err := xml.Unmarshal([]byte(drawn), new(struct{})); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, colour := range append(plot.colours, "--muted", "--line") {
			if !strings.Contains(string(drawn), `="var(`+colour+`)"`) {
				t.Errorf("%s: nothing in %s", name, colour)
			}
		}
		// Pages with a strict policy would not show these.
		if inlineStyle.MatchString(string(drawn)) {
			t.Errorf("%s has inline styles", name)
		}
	}
}

func TestScoreRange(t *testing.T) {
	for _, test := range []struct {
		scores    []float64
		threshold *float64
		low, high float64
		ticks     int
	}{
		{[]float64{0.31, 0.99}, nil, 0.3, 1, 8},
		{[]float64{0.31, 0.32}, nil, 0.3, 0.35, 2},
		{[]float64{0}, nil, 0, 0.05, 2},
		{[]float64{1}, nil, 1, 1.05, 2},
		{[]float64{0.5}, new(0.12), 0.1, 0.5, 5},
		{[]float64{0, 1}, nil, 0, 1, 6},
	} {
		groups := []Group{{GoodColour, test.scores, len(test.scores)}, {DefectiveColour, nil, 0}}
		low, high := scoreRange(test.threshold, groups)
		if low != test.low || high != test.high {
			t.Errorf("%v: %v to %v", test.scores, low, high)
		}
		if ticks := scoreTicks(low, high); len(ticks) != test.ticks {
			t.Errorf("%v: ticks %v", test.scores, ticks)
		}
		if _, err := Scores("scores", test.threshold, groups...); err != nil {
			t.Error(err)
		}
	}
}

func TestPercentTicks(t *testing.T) {
	for most, want := range map[float64][2]string{100: {"0", "100"}, 78.7: {"0", "60"}, 45: {"0", "40"}, 3.5: {"0", "3"}, 0.32: {"0", "0.3"}} {
		ticks := percentTicks(most)
		if got := [2]string{ticks[0].Label, ticks[len(ticks)-1].Label}; got != want || len(ticks) > 6 {
			t.Errorf("up to %v: %v", most, ticks)
		}
	}
}
