package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/destseg/destseg/picture"
)

func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("trains at 64×64, which takes the plain engine half a minute")
	}
	t.Chdir(t.TempDir())
	o := succeed(t, "demo", "-o", "d", "--kind", "woven", "--pictures=2", "--size=64", "--batch=2", "--steps=1+1", "--threads=1")
	for _, text := range []string{"2 good pictures of woven", "6 pictures, 5 of them defective", "image AUROC", "look at", "destseg predict d/woven.safetensors d/woven/test"} {
		if !strings.Contains(filepath.ToSlash(o.stdout), text) {
			t.Errorf("demo does not say %q:\n%s", text, o.stdout)
		}
	}
	sheet, err := picture.Open("d/sheet.png")
	if err != nil {
		t.Fatal(err)
	}
	// 5 kinds of defects and a good one in two columns of three pictures.
	if want := 2*(3*256+2*sheetGap) + 3*sheetMargin; sheet.Width != want {
		t.Errorf("the sheet is %d wide, want %d", sheet.Width, want)
	}
	if want := 3*256 + 2*sheetGap + 2*sheetMargin; sheet.Height != want {
		t.Errorf("the sheet is %d high, want %d", sheet.Height, want)
	}
	painted, err := filepath.Glob("d/marked/*_overlay.png")
	if err != nil || len(painted) != 6 {
		t.Errorf("overlays %q, %v", painted, err)
	}
}
