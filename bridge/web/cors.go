package web

import (
	"net/http"
	"slices"
	"strings"
)

// crossOriginHeaders lets scripts of the origins in FeedOrigins read feeds (the CORS protocol of the Fetch standard): "*" is any
// origin. Every answer about a feed has them, refusals too, so that scripts see these. Nothing else of the bridge is for other
// origins, and no answer allows credentials: who has a feed's address needs none.
func (h *Handler) crossOriginHeaders(head http.Header, r *http.Request) {
	if len(h.FeedOrigins) == 0 {
		return
	}
	origin := r.Header.Get("Origin")
	if slices.Contains(h.FeedOrigins, "*") {
		head.Set("Access-Control-Allow-Origin", "*")
	} else {
		head.Add("Vary", "Origin")
		if origin == "" || !slices.Contains(h.FeedOrigins, strings.ToLower(origin)) {
			return
		}
		head.Set("Access-Control-Allow-Origin", origin)
	}
	if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
		head.Set("Access-Control-Allow-Methods", "GET, HEAD")
		head.Set("Access-Control-Allow-Headers", "If-None-Match, If-Modified-Since, Cache-Control, Pragma")
		head.Set("Access-Control-Max-Age", "86400")
		return
	}
	head.Set("Access-Control-Expose-Headers", "ETag, Content-Disposition, Retry-After")
}
