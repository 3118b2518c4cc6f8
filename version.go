package destseg

import "runtime/debug"

const modulePath = "github.com/destseg/destseg"

// Version returns the version of this module in the running program, such as
// "v1.2.0", or "(devel)" where the build has none.
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range append(info.Deps, &info.Main) {
			if m.Path == modulePath && m.Version != "" {
				return m.Version
			}
		}
	}
	return "(devel)"
}
