package web

// Reasons is how many reasons there are words for.
func Reasons() int { return len(words) }

// Patterns are those of everything that is served.
func (h *Handler) Patterns() []string { return h.patterns }

// WithRoute serves one more page, which states nothing or what a test says.
func WithRoute(pattern string, stated bool) (remove func()) {
	r := route{page: func(v *visit) error { plainText(v.w, 200, "served"); return nil }}
	if stated {
		r.who = open
	}
	routes[pattern] = r
	return func() { delete(routes, pattern) }
}
