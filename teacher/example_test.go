package teacher_test

import (
	"fmt"
	"log"

	"github.com/destseg/destseg/teacher"
)

// A path in place of the empty name reads any ResNet-18, such as torchvision's.
func ExampleLoad() {
	t, err := teacher.Load("")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(t.Name)
	fmt.Println(len(t.Weights), "tensors, such as teacher_net.encoder.conv1.weight with",
		len(t.Weights["teacher_net.encoder.conv1.weight"]), "values")
	// Output:
	// builtin
	// 75 tensors, such as teacher_net.encoder.conv1.weight with 9408 values
}
