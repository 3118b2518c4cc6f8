package main

import "github.com/spf13/cobra"

// newTeacher groups what makes teachers.
func newTeacher(c *console) *cobra.Command {
	command := &cobra.Command{
		Use:   "teacher",
		Short: "Makes a teacher, the network that detectors learn from",
	}
	command.AddCommand(newPretrain(c))
	return command
}
