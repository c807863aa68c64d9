package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

type versionCmd struct{}

func (versionCmd) Run(e *env) error {
	_, err := fmt.Fprintf(e.stdout, "outbridge %s (%s)\n", version(), strings.Join(build(), ", "))
	return err
}

// release is the version of a package or image, set when that is compiled.
var release string

// version is that of the release, else of the module, else the commit that the program was built from.
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return strings.TrimPrefix(v, "v")
	}
	if commit := settings(info)["vcs.revision"]; commit != "" {
		return "development " + commit[:min(12, len(commit))]
	}
	return "development"
}

// build is what the program was built from, with what and for which platform.
func build() (facts []string) {
	if info, ok := debug.ReadBuildInfo(); ok {
		s := settings(info)
		if commit := s["vcs.revision"]; commit != "" {
			day, _, _ := strings.Cut(s["vcs.time"], "T")
			text := strings.TrimSpace("commit " + commit[:min(12, len(commit))] + " " + day)
			if s["vcs.modified"] == "true" {
				text += " with changes"
			}
			facts = append(facts, text)
		}
	}
	return append(facts, runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH)
}

func settings(info *debug.BuildInfo) map[string]string {
	all := map[string]string{}
	for _, s := range info.Settings {
		all[s.Key] = s.Value
	}
	return all
}
