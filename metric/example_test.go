package metric_test

import (
	"fmt"

	"github.com/destseg/destseg/metric"
)

func Example() {
	var e metric.Evaluator
	samples := []metric.Sample{
		{Score: 0.2, Width: 3, Height: 1, Map: []float32{0.1, 0.2, 0.1}},
		{Score: 0.9, Width: 3, Height: 1, Map: []float32{0.1, 0.9, 0.8}, Mask: []uint8{0, 1, 1}, Defective: true},
	}
	for _, s := range samples {
		if err := e.Add(s); err != nil {
			fmt.Println(err)
			return
		}
	}
	for _, f := range e.Result().Figures()[:2] {
		fmt.Printf("%v (%s)\n", f, f.Protocol)
	}
	// Output:
	// image AUROC 1.0000 (all test pictures ranked by image score, area under the ROC curve, ties count one half)
	// image AP 1.0000 (all test pictures ranked by image score, area under the precision-recall steps, ties grouped)
}
