package weights

import (
	"fmt"
	"io"

	"github.com/destseg/destseg/internal/wholefile"
)

// WriteFile writes f to path as safetensors. The bytes go to a temporary name in the same folder, are forced to the
// disk and then take the name, so that path holds the old file or the new one whole, never a part. On failure the
// temporary file is removed and the error names path.
func WriteFile(path string, f *File) error {
	if err := wholefile.Write(path, func(w io.Writer) error { return WriteSafetensors(w, f) }); err != nil {
		return fmt.Errorf("weights: %w", err)
	}
	return nil
}
