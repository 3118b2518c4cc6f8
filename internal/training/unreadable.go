package training

import (
	"errors"
	"fmt"
)

const listed = 10 // unreadable pictures named in an error

// Unreadable joins the errors of pictures, of which most may be nil, into one that
// wraps kind and the first of them; nil if all were read.
func Unreadable(kind error, errs []error) error {
	var bad []error
	for _, err := range errs {
		if err != nil {
			bad = append(bad, err)
		}
	}
	if len(bad) == 0 {
		return nil
	}
	count, more := len(bad), ""
	if count > listed {
		more = fmt.Sprintf("\nand %d more", count-listed)
		bad = bad[:listed]
	}
	return fmt.Errorf("%w: %d of %d can't be read; repair them or take them away:\n%w%s", kind, count, len(errs), errors.Join(bad...), more)
}
