// Package train teaches a detector what good parts look like: the two stages
// of DeSTSeg (section 3 of the paper), with checkpoints, resume and progress.
//
// Stage 1 trains the student to give the teacher's features of the clean
// picture when it sees the corrupted one; stage 2 freezes it and trains the
// segmentation network to find the corruption.
package train
