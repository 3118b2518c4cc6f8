// Package look is how the program's pages look, so that all of them look the same: a
// style sheet that follows the reader's choice of light or dark, and plots in its
// colours.
package look

import _ "embed"

// Style is the style sheet of every page; a page adds its own to it.
//
//go:embed style.css
var Style string
