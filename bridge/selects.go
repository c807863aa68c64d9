package bridge

import (
	"regexp"
	"slices"
	"strings"
)

// Selects reports whether a calendar of that name is one to serve: one of include, where there are any, and none of exclude.
func Selects(include, exclude []string, name string) bool {
	return (len(include) == 0 || matches(include, name)) && !matches(exclude, name)
}

// matches reports whether a pattern is name, whatever the case, "*" being any text.
func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		parts := strings.Split(strings.ToLower(p), "*")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		ok, _ := regexp.MatchString("^"+strings.Join(parts, ".*")+"$", strings.ToLower(name))
		return ok
	})
}
