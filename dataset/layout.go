package dataset

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// A Layout is a way to arrange the folders of a data set. The package comment
// describes all of them.
type Layout struct {
	Name  string // by which [OpenAs] takes it
	Title string // whose it is, for people

	recognise func(folder) bool
	open      func(*Set, folder) error
}

// Layouts lists the known layouts in the order in which they are tried: the more
// particular ones come first.
func Layouts() []Layout {
	return []Layout{
		{"visa", "VisA", isVisA, (*Set).addVisA},
		{"mvtec2", "MVTec AD 2", isMVTec2, (*Set).addMVTec2},
		{"loco", "MVTec LOCO AD", isLOCO, (*Set).addLOCO},
		{"btad", "BTAD", isBTAD, (*Set).addBTAD},
		{"kolektor2", "KolektorSDD2", isKolektor2, (*Set).addKolektor2},
		{"kolektor", "KolektorSDD", isKolektor, (*Set).addKolektor},
		{"mvtec", "MVTec AD and MPDD", isMVTec, (*Set).addMVTec},
		{"folders", "the folder good beside one for each kind of defect", isFolders, (*Set).addFolders},
		{"plain", "a plain folder of good pictures", isPlain, (*Set).addPlain},
	}
}

// layoutNamed returns the layout of that name.
func layoutNamed(name string) (Layout, error) {
	var names []string
	for _, l := range Layouts() {
		if l.Name == name {
			return l, nil
		}
		names = append(names, l.Name)
	}
	return Layout{}, fmt.Errorf("%w: there is none called %q; known are %s", ErrLayout, name, strings.Join(names, ", "))
}

// layoutOf returns the first layout that recognises a folder as its own.
func layoutOf(top folder) (Layout, bool) {
	layouts := Layouts()
	i := slices.IndexFunc(layouts, func(l Layout) bool { return l.recognise(top) })
	if i < 0 {
		return Layout{}, false
	}
	return layouts[i], true
}

// recognise tells the layout of a folder. A folder that would be a plain one and
// holds data sets of other layouts is none.
func recognise(top folder) (Layout, error) {
	l, ok := layoutOf(top)
	if ok && l.Name != "plain" {
		return l, nil
	}
	var sets []string
	for _, name := range top.folders {
		if inner, ok := layoutOf(top.sub(name)); ok && inner.Name != "plain" {
			sets = append(sets, name)
		}
	}
	switch {
	case len(sets) > 0:
		return l, fmt.Errorf("%s: %w (%s); name one of them", top.path, ErrCategories, strings.Join(sets, ", "))
	case !ok:
		var titles []string
		for _, l := range Layouts() {
			titles = append(titles, l.Title)
		}
		return l, fmt.Errorf("%s: %w: the folders %s fit none of the known ones: %s; if it is one of them, name the layout",
			top.path, ErrLayout, some(top.folders), strings.Join(titles, ", "))
	}
	return l, nil
}

// Categories lists the folders in root that are data sets, sorted: of any layout, or
// of the one of that name unless it is "". It is root alone if that is a data set
// and not just a folder of pictures. Errors are those of [OpenAs].
func Categories(root, layout string) ([]string, error) {
	top, _, err := readRoot(root)
	if err != nil {
		return nil, err
	}
	fits := func(f folder) bool {
		_, ok := layoutOf(f)
		return ok
	}
	if layout != "" {
		l, err := layoutNamed(layout)
		if err != nil {
			return nil, err
		}
		fits = l.recognise
	}
	if l, ok := layoutOf(top); ok && l.Name != "plain" && fits(top) {
		return []string{root}, nil
	}
	var sets []string
	for _, name := range top.folders {
		if f := top.sub(name); fits(f) && len(walk(f.path).pictures) > 0 {
			sets = append(sets, filepath.Join(root, name))
		}
	}
	if len(sets) == 0 {
		return nil, fmt.Errorf("%s: %w: no folder in it is a data set", root, ErrLayout)
	}
	return sets, nil
}
