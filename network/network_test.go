package network

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

func TestTensorsArePublishedStateDict(t *testing.T) {
	data, err := os.ReadFile("../testdata/golden/destseg-state-dict.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string][]int
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, tensor := range Tensors() {
		got[tensor.Name] = true
		shape, ok := want[tensor.Name]
		if !ok || !tensor.Shape.Equal(shape) {
			t.Errorf("%s is %v, published %v", tensor.Name, tensor.Shape, shape)
		}
	}
	for name := range want {
		if !got[name] && !strings.HasSuffix(name, "num_batches_tracked") {
			t.Errorf("%s is missing", name)
		}
	}
}

func TestSizeCheck(t *testing.T) {
	for _, c := range []struct {
		size Size
		ok   bool
	}{
		{Size{1, 32, 32}, true}, {Size{7, 96, 160}, true},
		{Size{0, 32, 32}, false}, {Size{1, 48, 64}, false}, {Size{1, 64, 0}, false}, {Size{1, -32, 32}, false},
	} {
		if _, err := Inference(c.size, false); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c.size, err)
		}
	}
}

func TestStepsTrainTheirPartOnly(t *testing.T) {
	size := Size{2, 64, 32}
	student, err := StudentStep(size, Training{Momentum: 0.9})
	if err != nil {
		t.Fatal(err)
	}
	segmentation, err := SegmentationStep(size, Training{Momentum: 0.9})
	if err != nil {
		t.Fatal(err)
	}
	updated := map[string]Part{}
	for _, u := range student.Updates {
		updated[strings.TrimPrefix(u.Variable.Name, "momentum/")] = StudentPart
	}
	for _, u := range segmentation.Updates {
		updated[strings.TrimPrefix(u.Variable.Name, "momentum/")] = SegmentationPart
	}
	for _, tensor := range Tensors() {
		part, ok := updated[tensor.Name]
		if tensor.Part() == TeacherPart {
			if ok {
				t.Errorf("%s of the frozen teacher is updated", tensor.Name)
			}
		} else if !ok || part != tensor.Part() {
			t.Errorf("%s is updated by no step or by the wrong one", tensor.Name)
		}
	}
}

func TestInitial(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, tensor := range Tensors() {
		v := tensor.Initial(random)
		var sum, square float64
		for _, x := range v {
			sum += float64(x)
			square += float64(x) * float64(x)
		}
		deviation := math.Sqrt(square / float64(len(v)))
		switch tensor.Name {
		case "student_net.encoder.layer2.0.bn2.weight", "student_net.encoder.bn1.running_mean", "segmentation_net.res.0.bn1.bias":
			if sum != 0 {
				t.Errorf("%s sums to %v, want 0", tensor.Name, sum)
			}
		case "student_net.encoder.bn1.weight", "student_net.decoder_layer1.0.bn2.weight", "segmentation_net.res.0.bn1.running_var":
			if sum != float64(len(v)) {
				t.Errorf("%s sums to %v, want %d", tensor.Name, sum, len(v))
			}
		case "student_net.decoder_layer3.0.conv2.weight":
			if want := math.Sqrt(2.0 / (256 * 9)); math.Abs(deviation/want-1) > 0.01 {
				t.Errorf("%s deviates by %v, want %v", tensor.Name, deviation, want)
			}
		case "segmentation_net.head.0.aspp_fusion_layer.conv.weight":
			if want := 1 / math.Sqrt(3*1024*9); math.Abs(deviation/want-1) > 0.01 {
				t.Errorf("%s deviates by %v, want %v", tensor.Name, deviation, want)
			}
		}
	}
}
