//go:build cgo

// Libdestseg is package destseg as a C library, which "make lib" builds.
//
// All of it is in package capi: a main package with cgo in it would have everything with
// cgo below it compiled anew by each build.
package main

import _ "github.com/destseg/destseg/internal/capi"

func main() {} // never called: a C program has its own
