package main

import (
	"github.com/spf13/cobra"

	"github.com/destseg/destseg/teacher"
)

// newTeacher gathers what is done with teachers, each in a file of its own.
func newTeacher(c *console, imagenet teacher.Source) *cobra.Command {
	command := &cobra.Command{
		Use:   "teacher",
		Short: "Brings the network that detectors learn from",
		Long: `A detector learns from a teacher: a ResNet-18 that was trained to tell pictures of
everyday things apart. train --teacher names it:

  builtin    comes with the program and is the usual one
  imagenet   torchvision's, as in the paper; destseg teacher fetch brings it
  FILE       any other ResNet-18, in safetensors or PyTorch format

A better teacher makes better detectors. It is needed for training only: a
detector carries its own inside.`,
		Example: `  destseg teacher fetch
  destseg train parts/good -o parts.safetensors --teacher imagenet`,
	}
	addSubcommands(c, command, newTeacherFetch(c, imagenet), newTeacherImport(c, imagenet), newTeacherInfo(c, imagenet), newPretrain(c))
	return command
}
