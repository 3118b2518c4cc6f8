// Package region turns anomaly maps into regions: connected areas above a
// threshold, with their size, place, height and outline, inside the part of the
// picture that counts.
//
// # Coordinates
//
// A pixel is a unit square: that in column x and row y, counted from 0 at the
// upper left, covers [x,x+1]×[y,y+1], and its centre is at (x+½, y+½). Points of
// polygons are in these coordinates, y downwards.
//
// # Connectivity
//
// Pixels that touch, if only at a corner, belong to one region (8-connectivity).
// What a hole of a region consists of touches at edges, accordingly.
package region
