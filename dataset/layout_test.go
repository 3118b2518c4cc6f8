package dataset

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/destseg/destseg/picture"
)

// paintMask writes a mask of one row with these values.
func paintMask(t *testing.T, path string, values ...uint8) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	g := &picture.Gray{Width: len(values), Height: 1, Pix: values}
	if err := picture.WritePNG(path, g.Image()); err != nil {
		t.Fatal(err)
	}
}

const visaTable = `object,split,label,image,mask
candle,train,normal,candle/Data/Images/Normal/0001.JPG,
candle,train,normal,candle/Data/Images/Normal/0000.JPG,
cashew,train,normal,cashew/Data/Images/Normal/000.JPG,
candle,test,normal,candle/Data/Images/Normal/0002.JPG,
candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,candle/Data/Masks/Anomaly/000.png
`

// TestLayouts checks that every layout but the simple ones is recognised, that
// naming it gives the same set, and what it holds.
func TestLayouts(t *testing.T) {
	tests := []struct {
		layout, category string
		files            []string
		masks            map[string][]uint8 // with real content
		tables           map[string]string
		train            []string
		validation       []string
		test             []string
		labels           bool // of the masks
		protocol         string
	}{
		{
			layout: "mvtec", category: "bracket_black", // as in MPDD
			files: []string{"train/good/000.png", "test/good/000.png", "test/parts mismatch/000.png", "ground_truth/parts mismatch/000_mask.png"},
			train: []string{"train/good/000.png good"},
			test:  []string{"test/good/000.png good", "test/parts mismatch/000.png parts mismatch ground_truth/parts mismatch/000_mask.png"},
		},
		{
			layout: "mvtec2", category: "can",
			files: []string{
				"train/good/000_regular.png", "validation/good/000_regular.png", "test_private/000_regular.png", "test_private_mixed/000_mixed.png",
				"test_public/good/000_regular.png", "test_public/bad/000_overexposed.png", "test_public/ground_truth/bad/000_overexposed_mask.png",
			},
			train:      []string{"train/good/000_regular.png good"},
			validation: []string{"validation/good/000_regular.png good"},
			test: []string{
				"test_public/bad/000_overexposed.png bad test_public/ground_truth/bad/000_overexposed_mask.png",
				"test_public/good/000_regular.png good",
			},
			protocol: "test_public",
		},
		{
			layout: "loco", category: "pushpins",
			files: []string{
				"defects_config.json", "train/good/000.png", "validation/good/000.png", "test/good/000.png",
				"test/logical_anomalies/000.png", "test/logical_anomalies/001.png", "test/structural_anomalies/000.png",
				"ground_truth/logical_anomalies/000/000.png", "ground_truth/logical_anomalies/000/001.png",
				"ground_truth/logical_anomalies/001/000.png", "ground_truth/structural_anomalies/000/000.png",
			},
			train:      []string{"train/good/000.png good"},
			validation: []string{"validation/good/000.png good"},
			test: []string{
				"test/good/000.png good",
				"test/logical_anomalies/000.png logical_anomalies ground_truth/logical_anomalies/000",
				"test/logical_anomalies/001.png logical_anomalies ground_truth/logical_anomalies/001",
				"test/structural_anomalies/000.png structural_anomalies ground_truth/structural_anomalies/000",
			},
			labels: true, protocol: "united",
		},
		{
			layout: "btad", category: "01",
			files: []string{
				"train/ok/0000.bmp", "test/ok/0001.bmp", "test/ko/0000.bmp", "test/ko/0001.bmp",
				"ground_truth/ko/0000.png", "ground_truth/ko/0001.bmp",
			},
			train: []string{"train/ok/0000.bmp good"},
			test: []string{
				"test/ko/0000.bmp ko ground_truth/ko/0000.png", "test/ko/0001.bmp ko ground_truth/ko/0001.bmp", "test/ok/0001.bmp good",
			},
		},
		{
			layout: "visa", category: "candle",
			files: []string{
				"Data/Images/Normal/0000.JPG", "Data/Images/Normal/0001.JPG", "Data/Images/Normal/0002.JPG", "Data/Images/Normal/9999.JPG",
				"Data/Images/Anomaly/000.JPG", "Data/Masks/Anomaly/000.png", "image_anno.csv",
			},
			tables: map[string]string{"../split_csv/1cls.csv": visaTable},
			train:  []string{"Data/Images/Normal/0000.JPG good", "Data/Images/Normal/0001.JPG good"},
			test:   []string{"Data/Images/Anomaly/000.JPG anomaly Data/Masks/Anomaly/000.png", "Data/Images/Normal/0002.JPG good"},
			labels: true, protocol: "1cls.csv",
		},
		{
			layout: "kolektor", category: "KolektorSDD",
			files: []string{
				"kos01/Part0.jpg", "kos01/Part1.jpg", "kos02/Part0.jpg", "kos03/Part0.jpg", "kos04/Part0.jpg", "kos05/Part0.jpg", "kos05/Part1.jpg",
			},
			masks: map[string][]uint8{
				"kos01/Part0_label.png": {0, 0}, "kos01/Part1_label.png": {0, 1}, "kos02/Part0_label.png": {0, 0},
				"kos03/Part0_label.png": {0, 0}, "kos04/Part0_label.png": {0, 0}, "kos05/Part0_label.png": {0, 0}, "kos05/Part1_label.png": {255, 0},
			},
			train: []string{"kos01/Part0.jpg good", "kos02/Part0.jpg good", "kos03/Part0.jpg good", "kos04/Part0.jpg good"},
			test: []string{
				"kos01/Part1.jpg defect kos01/Part1_label.png", "kos05/Part0.jpg good", "kos05/Part1.jpg defect kos05/Part1_label.png",
			},
			labels: true, protocol: "every fifth item",
		},
		{
			layout: "kolektor2", category: "KolektorSDD2",
			files: []string{"train/10000.png", "train/10001.png", "test/20000.png", "test/20001.png"},
			masks: map[string][]uint8{
				"train/10000_GT.png": {0, 0, 0}, "train/10001_GT.png": {0, 255, 0}, "test/20000_GT.png": {0, 0, 0}, "test/20001_GT.png": {0, 0, 255},
			},
			train: []string{"train/10000.png good"},
			test:  []string{"test/20000.png good", "test/20001.png defect test/20001_GT.png"}, labels: true, protocol: "without its defective pictures",
		},
		{
			layout: "folders", category: "parts",
			files: []string{
				"good/0.png", "good/1.png", "good/2.png", "good/3.png", "good/4.png", "good/5.png", "dent/0.png", "scratch/0.png",
				"ground_truth/dent/0.png",
			},
			train:    []string{"good/0.png good", "good/1.png good", "good/2.png good", "good/3.png good", "good/5.png good"},
			test:     []string{"dent/0.png dent ground_truth/dent/0.png", "good/4.png good", "scratch/0.png scratch "},
			protocol: "every fifth good picture",
		},
		{
			layout: "plain", category: "parts",
			files: []string{"a.png", "line2/b.png"},
			train: []string{"a.png good", "line2/b.png good"},
		},
	}
	for _, test := range tests {
		t.Run(test.layout, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), test.category)
			plant(t, root, test.files...)
			for path, values := range test.masks {
				paintMask(t, filepath.Join(root, path), values...)
			}
			for path, text := range test.tables {
				plant(t, root, path)
				if err := os.WriteFile(filepath.Join(root, path), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range []string{"", test.layout} {
				set, err := OpenAs(root, name)
				if err != nil {
					t.Fatalf("layout %q: %v", name, err)
				}
				if set.Layout != test.layout || set.Category != test.category {
					t.Errorf("layout %q, category %q", set.Layout, set.Category)
				}
				checkList(t, "train", describe(root, set.Train), test.train...)
				checkList(t, "validation", describe(root, set.Validation), test.validation...)
				checkList(t, "test", describe(root, set.Test), test.test...)
				for _, s := range set.Test {
					if s.Labels != (test.labels && s.Mask != "") {
						t.Errorf("%s: labels %v", s.Path, s.Labels)
					}
				}
				if text := strings.Join(set.Protocol, "\n"); !strings.Contains(text, test.protocol) || (text == "") != (test.protocol == "") {
					t.Errorf("protocol %q", set.Protocol)
				}
				if test.layout == "folders" {
					if len(set.Warnings) != 1 || !strings.Contains(set.Warnings[0], "without a mask") {
						t.Errorf("warnings %q", set.Warnings)
					}
				} else {
					checkList(t, "warnings", set.Warnings)
				}
			}
			sets, err := Categories(filepath.Dir(root), "")
			if err != nil {
				t.Fatal(err)
			}
			checkList(t, "categories", sets, root)
			if test.layout != "plain" {
				if sets, err = Categories(root, ""); err != nil {
					t.Fatal(err)
				}
				checkList(t, "categories of a category", sets, root)
				if _, err := Open(filepath.Dir(root)); !errors.Is(err, ErrCategories) || !strings.Contains(err.Error(), test.category) {
					t.Errorf("the folder above: %v", err)
				}
			}
		})
	}
}

// TestFewGood checks that the folder layout keeps some for training.
func TestFewGood(t *testing.T) {
	for good, want := range map[int][2]int{1: {1, 0}, 2: {1, 1}, 4: {3, 1}, 5: {4, 1}, 9: {8, 1}, 10: {8, 2}} {
		root := t.TempDir()
		plant(t, root, "bad/a.png")
		for i := range good {
			plant(t, root, "good/"+string(rune('a'+i))+".png")
		}
		set, err := Open(root)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]int{len(set.Train), len(set.Test) - 1}; got != want || len(set.Warnings) > 0 {
			t.Errorf("of %d good pictures %d are for training and %d for testing, warnings %q", good, got[0], got[1], set.Warnings)
		}
	}
}

func TestNamedLayout(t *testing.T) {
	root := t.TempDir()
	plant(t, root, "good/a.png", "dent/a.png")
	set, err := OpenAs(root, "plain")
	if err != nil || len(set.Train) != 2 {
		t.Errorf("%+v, %v", set, err)
	}
	if _, err := OpenAs(root, "mvtec"); !errors.Is(err, ErrEmpty) {
		t.Errorf("as mvtec: %v", err)
	}
	if _, err := OpenAs(root, "mvtech"); !errors.Is(err, ErrLayout) || !strings.Contains(err.Error(), `"mvtech"; known are visa, mvtec2,`) {
		t.Errorf("as mvtech: %v", err)
	}
	if _, err := Categories(root, "mvtech"); !errors.Is(err, ErrLayout) {
		t.Errorf("categories as mvtech: %v", err)
	}
	if _, err := Categories(root, "mvtec"); !errors.Is(err, ErrLayout) || !strings.Contains(err.Error(), "no folder in it is a data set") {
		t.Errorf("categories as mvtec: %v", err)
	}
}

func TestCategories(t *testing.T) {
	root := t.TempDir()
	plant(t, root, "b/train/good/a.png", "a/good/a.png", "c/n/a.png", "empty/notes.txt", "readme.png.txt")
	sets, err := Categories(root, "")
	if err != nil {
		t.Fatal(err)
	}
	checkList(t, "categories", sets, filepath.Join(root, "a"), filepath.Join(root, "b"), filepath.Join(root, "c"))
	if sets, err = Categories(root, "mvtec"); err != nil {
		t.Fatal(err)
	}
	checkList(t, "categories as mvtec", sets, filepath.Join(root, "b"))
}

func TestVisAErrors(t *testing.T) {
	tests := []struct{ name, table, say string }{
		{"no table", "", "1cls.csv: the layout is not recognised: it is missing"},
		{"columns", "object,set\n", "wrong number of fields"},
		{"other columns", "object,set,label,image,mask\n", "expected the columns object, split,"},
		{"category", strings.ReplaceAll(visaTable, "candle", "can"), `no pictures of "candle"`},
		{"split", strings.Replace(visaTable, ",test,", ",validation,", 1), `line 5: split "validation"`},
		{"defects in train", strings.Replace(visaTable, "test,anomaly", "train,anomaly", 1), `with label "anomaly"`},
		{"way out", strings.Replace(visaTable, "Normal/0001", "../../../secret", 1), "no path below candle"},
		{"other folder", strings.Replace(visaTable, "candle/Data/Images/Normal/0001", "cashew/0001", 1), "no path below candle"},
		{"quotes", visaTable + `"`, "quote"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "candle")
			plant(t, root, "Data/Images/Normal/0000.JPG")
			if test.table != "" {
				plant(t, root, "../split_csv/1cls.csv")
				if err := os.WriteFile(filepath.Join(root, "..", "split_csv", "1cls.csv"), []byte(test.table), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := Open(root); !errors.Is(err, ErrLayout) || !strings.Contains(err.Error(), test.say) || !strings.Contains(err.Error(), "1cls.csv") {
				t.Errorf("error %v", err)
			}
		})
	}
	root := filepath.Join(t.TempDir(), "candle")
	plant(t, root, "Data/Images/Normal/0000.JPG", "../split_csv/1cls.csv")
	if err := os.WriteFile(filepath.Join(root, "..", "split_csv", "1cls.csv"), []byte(visaTable), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := Open(root)
	if err != nil || len(set.Train) != 1 || len(set.Warnings) != 1 || !strings.Contains(set.Warnings[0], "3 pictures of") {
		t.Errorf("an incomplete category: %+v, %v", set, err)
	}
}

func FuzzReadVisA(f *testing.F) {
	f.Add(visaTable, "candle")
	f.Add("object,split,label,image,mask\n\"a\nb\",test,x,\"a\nb/../c\",\n", "a\nb")
	f.Fuzz(func(t *testing.T, table, category string) {
		rows, err := readVisA(strings.NewReader(table), category)
		if err != nil && !errors.Is(err, ErrLayout) {
			t.Fatal(err)
		}
		for _, row := range rows {
			if row.train && row.anomalous || !filepath.IsLocal(row.image) || row.mask != "" && !filepath.IsLocal(row.mask) {
				t.Errorf("%+v", row)
			}
		}
	})
}

func TestKolektorMasks(t *testing.T) {
	root := t.TempDir()
	plant(t, root, "kos01/Part0.jpg", "kos01/Part1.jpg", "kos02/Part0.jpg", "kos02/Part0_label.bmp")
	paintMask(t, filepath.Join(root, "kos01", "Part1_label.png"), 0)
	if _, err := Open(root); err == nil || !strings.Contains(err.Error(), filepath.Join("kos02", "Part0_label.bmp")) {
		t.Errorf("a broken mask: %v", err)
	}
	if err := os.Remove(filepath.Join(root, "kos02", "Part0_label.bmp")); err != nil {
		t.Fatal(err)
	}
	set, err := Open(root)
	if err != nil || len(set.Train) != 1 || len(set.Warnings) != 2 || !strings.Contains(set.Warnings[0], "1 picture left out, since only a mask") {
		t.Errorf("missing masks: %+v, %v", set, err)
	}
}

func TestOpenMask(t *testing.T) {
	root := t.TempDir()
	at := func(name string) string { return filepath.Join(root, name) }
	paintMask(t, at("one.png"), 0, 1, 200)
	paintMask(t, at("many/000.png"), 0, 254, 0, 0)
	paintMask(t, at("many/001.png"), 0, 0, 0, 3)
	paintMask(t, at("odd/000.png"), 0, 0)
	paintMask(t, at("odd/001.png"), 0)
	plant(t, root, "empty/notes.txt")
	for _, test := range []struct {
		sample Sample
		want   []uint8
	}{
		{Sample{Mask: at("one.png")}, []uint8{0, 1, 200}},
		{Sample{Mask: at("one.png"), Labels: true}, []uint8{0, 255, 255}},
		{Sample{Mask: at("many"), Labels: true}, []uint8{0, 255, 0, 255}},
		{Sample{Mask: at("many")}, []uint8{0, 254, 0, 3}},
	} {
		mask, err := test.sample.OpenMask()
		if err != nil || string(mask.Pix) != string(test.want) {
			t.Errorf("%+v: %v, %v", test.sample, mask, err)
		}
	}
	if mask, err := (Sample{}).OpenMask(); mask != nil || err != nil {
		t.Errorf("no mask: %v, %v", mask, err)
	}
	for name, want := range map[string]error{"odd": ErrLayout, "empty": ErrEmpty, "gone": os.ErrNotExist, "gone.png": os.ErrNotExist} {
		if _, err := (Sample{Mask: at(name)}).OpenMask(); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
