package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/destseg/destseg"
)

func newVersion(c *console) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Prints the version of the program and its engines",
		Example: "  destseg version",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			fmt.Fprintf(c.out, "destseg %s, %s, %s/%s\n", destseg.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			for _, name := range []string{"onednn", "plain"} {
				if e, err := destseg.NewEngine(name); err == nil {
					fmt.Fprintf(c.out, "engine %s\n", e.Name())
				} else {
					fmt.Fprintf(c.out, "engine %s: %s\n", name, explain(err))
				}
			}
			return nil
		},
	}
}
