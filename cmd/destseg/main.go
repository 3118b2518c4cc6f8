// Command destseg finds defects in pictures after seeing only good ones: it
// trains, measures and runs detectors by the method of DeSTSeg (Zhang et al.,
// CVPR 2023). "destseg --help" lists what it does.
//
// Results go to the standard output, everything else to the standard error.
// The exit status is 0 if all went well, 1 if the work failed or was
// interrupted, and 2 if the command line was wrong.
package main

import "os"

func main() {
	os.Exit(run(interruptible(os.Stderr), os.Args[1:], os.Stdout, os.Stderr))
}
