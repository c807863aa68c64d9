package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// splitAddress is public_url in two parts: its origin, and its path without a slash at the end, "" for none.
func splitAddress(address string) (origin, base string) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return strings.TrimSuffix(address, "/"), ""
	}
	base = strings.TrimRight(u.EscapedPath(), "/")
	return strings.TrimSuffix(strings.TrimRight(address, "/"), base), base
}

// below is a request as it is without the base: some proxies take it away before they pass a request on, others do not. What
// comes without it is left as it is, which is why the base is not to begin as a path of ours does; see OwnPath.
func below(base string, r *http.Request) *http.Request {
	path, ok := strings.CutPrefix(r.URL.Path, base)
	if base == "" || !ok || path != "" && path[0] != '/' {
		return r
	}
	raw := r.URL.RawPath
	if raw != "" {
		if raw, ok = strings.CutPrefix(raw, base); !ok {
			return r
		}
	}
	if path == "" {
		path = "/"
	}
	inside := *r
	to := *r.URL
	to.Path, to.RawPath = path, raw
	inside.URL = &to
	return &inside
}

// ownPaths are how the paths of the bridge begin.
var ownPaths = []string{".well-known", "accounts", "app", "auth", "calendar.css", "calendar.js", "calendars", "connect", "dav", "feeds", "graph", "healthz", "icon.svg", "invitation", "metrics",
	"new-account", "pages.js", "people", "principals", "profile", "readyz", "record", "remote.php", "robots.txt", "settings", "setup",
	"sign-in", "sign-out", "style.css"}

// OwnPath reports whether a path begins as one of the bridge does. With such a base it could not be told which requests have it.
func OwnPath(path string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return slices.Contains(ownPaths, first)
}
